"""Whisper models of the true sizes with random weights, made on the spot: for speed and for equality, not for words.

The architecture, the vocabulary and the files are those of a converted model; what such a model writes is nonsense, but
each token depends on the audio and on the tokens before it. Its tokens are those that the miniature's tokenizer knows.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ctranslate2.specs import common_spec, whisper_spec
from numpy.typing import NDArray

from gateway.engines.choosing import MINIATURE_MODEL

POSITIONS: Final = 1500
LONGEST_TEXT: Final = 448
END_OF_TEXT: Final = 50257
PROMPT: Final = 4
"""Tokens before the text: its start, the language, the task and that there are no times."""
FIRST_LANGUAGE, LANGUAGES = 50259, 99


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers that make an architecture; the encoder and the decoder have as many layers."""

    name: str
    layers: int
    width: int
    heads: int
    mels: int = 80


SIZES: Final = {
    size.name: size for size in (Size("tiny", 4, 384, 6), Size("base", 6, 512, 8), Size("small", 12, 768, 12))
}
"""The multilingual models, without the audio and text frames that all have in common."""


def random_whisper(
    folder: Path, size: Size, *, seed: int = 1, tokens: int | None = None, compute_type: str = "int8"
) -> Path:
    """Write a model into `folder` and return the folder that `WhisperModel` loads; one that is there is used again.

    `tokens` is how long every text is; None leaves that to chance, and most go on to the limit. `compute_type` is the
    format in which the weights are stored.
    """
    model = folder / f"random-{size.name}-{size.mels}-{seed}-{tokens}-{compute_type}"
    if (model / "model.bin").is_file():
        return model
    rng = np.random.default_rng(seed)
    unfinished = model.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    vocabulary = json.loads((MINIATURE_MODEL / "vocabulary.json").read_text(encoding="utf-8"))
    spec = _spec(size, rng, len(vocabulary), tokens)
    spec.register_vocabulary(vocabulary)
    spec.validate()
    for convolution in (spec.encoder.conv1, spec.encoder.conv2):
        # As in training/mini_whisper/export.py: convolutions in 8 bits come out wrong on processors.
        del convolution.weight_scale
    spec.optimize(quantization=compute_type)
    spec.save(str(unfinished))
    shutil.copy(MINIATURE_MODEL / "tokenizer.json", unfinished)
    if size.mels != 80:
        (unfinished / "preprocessor_config.json").write_text(json.dumps({"feature_size": size.mels}))
    unfinished.rename(model)
    return model


def _spec(size: Size, rng: np.random.Generator, vocabulary: int, tokens: int | None) -> whisper_spec.WhisperSpec:
    def normal(*shape: int, deviation: float = 1.0) -> NDArray[np.float32]:
        return rng.standard_normal(shape, np.float32) * np.float32(deviation)

    def set_linear(linear: common_spec.LinearSpec, outputs: int, inputs: int) -> None:
        linear.weight = normal(outputs, inputs, deviation=inputs**-0.5)
        linear.bias = np.zeros(outputs, np.float32)

    def set_norm(norm: common_spec.LayerNormSpec) -> None:
        norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)

    def set_layer(layer: Any, *, decoder: bool) -> None:
        attentions = [layer.self_attention, layer.attention] if decoder else [layer.self_attention]
        for attention in attentions:
            cross = attention is not layer.self_attention
            for linear, outputs in zip(attention.linear, (1, 2, 1) if cross else (3, 1), strict=True):
                set_linear(linear, outputs * width, width)
            set_norm(attention.layer_norm)
        set_linear(layer.ffn.linear_0, 4 * width, width)
        set_linear(layer.ffn.linear_1, width, 4 * width)
        set_norm(layer.ffn.layer_norm)

    width = size.width
    spec = whisper_spec.WhisperSpec(size.layers, size.heads, size.layers, size.heads)
    spec.encoder.conv1.weight = normal(width, size.mels, 3, deviation=(3 * size.mels) ** -0.5)
    spec.encoder.conv2.weight = normal(width, width, 3, deviation=(3 * width) ** -0.5)
    for convolution in (spec.encoder.conv1, spec.encoder.conv2):
        convolution.bias = np.zeros(width, np.float32)
    spec.encoder.position_encodings.encodings = normal(POSITIONS, width, deviation=0.1)
    for layer in spec.encoder.layer:
        set_layer(layer, decoder=False)
    set_norm(spec.encoder.layer_norm)

    # Large, or what is the same at every step would outweigh them and every step would give the same token.
    spec.decoder.embeddings.weight = normal(vocabulary, width, deviation=2)
    spec.decoder.position_encodings.encodings = normal(LONGEST_TEXT, width, deviation=2)
    for layer in spec.decoder.layer:
        set_layer(layer, decoder=True)
    set_norm(spec.decoder.layer_norm)
    # Not the embedding turned round, as in Whisper: with random weights it would repeat each token for ever.
    projection = np.zeros((vocabulary, width), np.float32)
    for token in _known_tokens():
        projection[token] = normal(width, deviation=0.3)
    if tokens is not None:
        # From a position on, everything points to the end.
        direction = normal(width)
        projection[END_OF_TEXT] = 0.1 * direction
        spec.decoder.position_encodings.encodings[PROMPT + tokens - 1 :] += 20 * direction
    else:
        projection[END_OF_TEXT] = normal(width, deviation=0.36)
    spec.decoder.projection.weight = projection

    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [END_OF_TEXT]
    spec.config.lang_ids = list(range(FIRST_LANGUAGE, FIRST_LANGUAGE + LANGUAGES))
    spec.config.alignment_heads = [[size.layers - 1, head] for head in range(size.heads)]
    return spec


def _known_tokens() -> Iterator[int]:
    """The text tokens of the miniature's tokenizer, the only ones that it can write out."""
    tokenizer = json.loads((MINIATURE_MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    return (token for token in tokenizer["model"]["vocab"].values() if token < END_OF_TEXT)
