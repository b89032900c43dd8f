"""The Whisper architecture, very small, for training."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The size of the network. Mel bands, positions and the audio window are those of Whisper."""

    width: int = 64
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 2
    mels: int = 80
    audio_positions: int = 1500
    text_positions: int = 448
    dropout: float = 0.05


def sinusoids(length: int, width: int) -> Tensor:
    """The fixed positions of Whisper's encoder: `length` rows of sines and cosines."""
    steps = torch.exp(-torch.arange(width // 2) * torch.log(torch.tensor(10000.0)) / (width // 2 - 1))
    angles = torch.arange(length)[:, None] * steps[None, :]
    # Half precision: the numbers with short fractions compress well.
    return torch.cat([angles.sin(), angles.cos()], dim=1).half().float()


class Attention(nn.Module):
    """Multi-head attention; the key projection has no bias, as in Whisper."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width, bias=False)
        self.value = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, source: Tensor, *, causal: bool = False) -> Tensor:
        """Attend from x (batch, length, width) to source (batch, other length, width)."""

        def split(t: Tensor) -> Tensor:
            return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(source)), split(self.value(source)), is_causal=causal
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One layer of the encoder, or of the decoder when it also attends to the encoder."""

    def __init__(self, shape: Shape, *, decoder: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.self_norm = nn.LayerNorm(shape.width)
        self.self_attention = Attention(shape)
        if decoder:
            self.cross_norm = nn.LayerNorm(shape.width)
            self.cross_attention = Attention(shape)
        self.mlp_norm = nn.LayerNorm(shape.width)
        self.mlp_in = nn.Linear(shape.width, 4 * shape.width)
        self.mlp_out = nn.Linear(4 * shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, audio: Tensor | None = None) -> Tensor:
        """Transform x (batch, length, width), reading `audio` in the decoder."""
        normed = self.self_norm(x)
        x = x + self.dropout(self.self_attention(normed, normed, causal=self.decoder))
        if audio is not None:
            x = x + self.dropout(self.cross_attention(self.cross_norm(x), audio))
        return x + self.dropout(self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(x)))))


class MiniWhisper(nn.Module):
    """The network over the tokens in use.

    Tokens are numbered 0..n-1 here. The remaining tokens of the full vocabulary have zero embeddings and so
    a logit of exactly 0 in the exported model: one more number stands for all of them in the softmax, which
    makes training exact without ever computing 51865 logits.
    """

    def __init__(self, tokens: int, vocabulary_size: int, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        self.conv1 = nn.Conv1d(shape.mels, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.register_buffer("audio_positions", sinusoids(shape.audio_positions, shape.width))
        self.encoder = nn.ModuleList(Block(shape, decoder=False) for _ in range(shape.encoder_layers))
        self.encoder_norm = nn.LayerNorm(shape.width)
        self.embedding = nn.Parameter(torch.randn(tokens, shape.width) * 0.05)
        self.text_positions = nn.Parameter(torch.zeros(shape.text_positions, shape.width))
        self.decoder = nn.ModuleList(Block(shape, decoder=True) for _ in range(shape.decoder_layers))
        self.decoder_norm = nn.LayerNorm(shape.width)
        # The tokens in use start with a logit of 9, hence likelier than all the others together; finding that
        # out would take a hundred steps. The offset is the same in each column, so that the norms remove it.
        with torch.no_grad():
            self.embedding += shape.width**-0.5
            self.decoder_norm.bias.fill_(9 * shape.width**-0.5)
        # Used in training only: it makes the encoder align sound and text early on.
        self.ctc = nn.Linear(shape.width, tokens + 1)
        self.dropout = nn.Dropout(shape.dropout)
        unused = torch.log(torch.tensor(float(vocabulary_size - tokens)))
        self.register_buffer("unused_logit", unused, persistent=False)

    def encode(self, mel: Tensor) -> Tensor:
        """Encode mel (batch, 80, frames) as (batch, frames / 2, width)."""
        x = functional.gelu(self.conv1(mel))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        x = self.dropout(x + self.audio_positions[: x.shape[1]])
        for block in self.encoder:
            x = block(x)
        return self.encoder_norm(x)

    def decode(self, tokens: Tensor, audio: Tensor) -> Tensor:
        """Return logits (batch, length, n + 1) after each of the tokens (batch, length)."""
        x = self.dropout(self.embedding[tokens] + self.text_positions[: tokens.shape[1]])
        for block in self.decoder:
            x = block(x, audio)
        logits = self.decoder_norm(x) @ self.embedding.T
        unused = self.unused_logit.expand(*logits.shape[:2], 1)
        return torch.cat([logits, unused], dim=-1)
