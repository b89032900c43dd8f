"""Write a trained model as the folder that `faster_whisper.WhisperModel` loads."""

import json
from pathlib import Path

import numpy as np
from ctranslate2.specs import common_spec, whisper_spec
from numpy.typing import NDArray
from torch import Tensor, nn

from .model import Attention, Block, MiniWhisper
from .phrases import PHRASES
from .tokenizer import LANGUAGES, VOCABULARY_SIZE, Vocabulary


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float32)


def _set_linear(spec: common_spec.LinearSpec, *layers: nn.Linear) -> None:
    """Store one layer, or several with the same input on top of each other."""
    spec.weight = np.concatenate([_array(layer.weight) for layer in layers])
    spec.bias = np.concatenate(
        [np.zeros(layer.out_features, np.float32) if layer.bias is None else _array(layer.bias) for layer in layers]
    )


def _set_norm(spec: common_spec.LayerNormSpec, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _set_block(spec: object, block: Block) -> None:
    def set_attention(target: object, attention: Attention, norm: nn.LayerNorm, *, cross: bool) -> None:
        if cross:
            _set_linear(target.linear[0], attention.query)
            _set_linear(target.linear[1], attention.key, attention.value)
        else:
            _set_linear(target.linear[0], attention.query, attention.key, attention.value)
        _set_linear(target.linear[-1], attention.out)
        _set_norm(target.layer_norm, norm)

    set_attention(spec.self_attention, block.self_attention, block.self_norm, cross=False)
    if block.decoder:
        set_attention(spec.attention, block.cross_attention, block.cross_norm, cross=True)
    _set_linear(spec.ffn.linear_0, block.mlp_in)
    _set_linear(spec.ffn.linear_1, block.mlp_out)
    _set_norm(spec.ffn.layer_norm, block.mlp_norm)


def export(model: MiniWhisper, ids: list[int], vocabulary: Vocabulary, folder: Path) -> None:
    """Write model, configuration, tokenizer and phrases.

    `ids` gives Whisper's token id of each row of the model's embedding.
    """
    shape = model.shape
    spec = whisper_spec.WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)

    for target, convolution in ((spec.encoder.conv1, model.conv1), (spec.encoder.conv2, model.conv2)):
        target.weight, target.bias = _array(convolution.weight), _array(convolution.bias)
    spec.encoder.position_encodings.encodings = _array(model.audio_positions)
    for target, block in zip(spec.encoder.layer, model.encoder, strict=True):
        _set_block(target, block)
    _set_norm(spec.encoder.layer_norm, model.encoder_norm)

    embedding = np.zeros((VOCABULARY_SIZE, shape.width), np.float32)
    embedding[ids] = _array(model.embedding)
    spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding
    spec.decoder.position_encodings.encodings = _array(model.text_positions)
    for target, block in zip(spec.decoder.layer, model.decoder, strict=True):
        _set_block(target, block)
    _set_norm(spec.decoder.layer_norm, model.decoder_norm)

    end = vocabulary.special_id("endoftext")
    first_language = vocabulary.special_id(vocabulary.languages[0])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [vocabulary.encode(" ")[0], end]
    spec.config.lang_ids = list(range(first_language, first_language + LANGUAGES))
    spec.config.alignment_heads = [[shape.decoder_layers - 1, head] for head in range(shape.heads)]
    spec.register_vocabulary(vocabulary.slim_names)
    spec.validate()
    for convolution in (spec.encoder.conv1, spec.encoder.conv2):
        # Without a place for a scale the weight stays in float32. CTranslate2 4.8 computes 8-bit convolutions
        # wrongly on processors: the encoder's output is then off by 0.9 on average, and by 0.002 like this.
        del convolution.weight_scale
    spec.optimize(quantization="int8")

    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    vocabulary.slim_tokenizer.save(str(folder / "tokenizer.json"))
    names = json.dumps(vocabulary.slim_names, ensure_ascii=False, separators=(",", ":"))
    (folder / "vocabulary.json").write_text(names + "\n", encoding="utf-8")
    phrases = json.dumps([phrase._asdict() for phrase in PHRASES], ensure_ascii=False, indent=2)
    (folder / "phrases.json").write_text(phrases + "\n", encoding="utf-8")
