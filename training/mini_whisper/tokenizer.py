"""The multilingual Whisper tokenizer, cut down to what the phrases need.

Every id keeps the meaning that it has in Whisper, but text tokens that no phrase uses are left out of the
tokenizer and have a filler name in the vocabulary. That makes the model a fifth of its size.
"""

import ast
import base64
import itertools
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tokenizers

from .phrases import PHRASES

SDIST = "openai-whisper==20250625"
"""The source distribution that holds the byte-pair ranks (MIT licence); it is used and not kept."""

VOCABULARY_SIZE = 51865
TIMESTAMPS = 1501
LANGUAGES = 99

# The texts that faster-whisper encodes to find the tokens it suppresses, besides symbols of one character.
_SUPPRESSED = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』♩♪♫♬♭♮♯',
    *("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))"),
    *("[[", "]]", "{{", "}}", "♪♪", "♪♪♪", "-", "'"),
)


def _download(folder: Path) -> Path:
    """Fetch the source distribution with pip, once."""
    found = sorted(folder.glob("openai_whisper-*.tar.gz"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", SDIST]
        subprocess.run([*command, "--dest", str(folder)], check=True)
        found = sorted(folder.glob("openai_whisper-*.tar.gz"))
    return found[0]


def _member(archive: tarfile.TarFile, ending: str) -> str:
    name = next(name for name in archive.getnames() if name.endswith(ending))
    file = archive.extractfile(name)
    assert file is not None
    return file.read().decode("utf-8")


def _language_codes(source: str) -> list[str]:
    """Read the languages, in the order of their ids, from the source text of Whisper's tokenizer."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LANGUAGES":
            return list(ast.literal_eval(node.value))[:LANGUAGES]
    raise ValueError("no LANGUAGES in the source of the tokenizer")


def _byte_characters() -> list[str]:
    """The printable character that stands for each byte in byte-level BPE vocabularies.

    Printable Latin-1 characters stand for themselves; the other bytes get the characters from U+0100 on.
    """
    characters = []
    substitutes = 0
    for byte in range(256):
        if 0x21 <= byte <= 0x7E or (0xA1 <= byte <= 0xFF and byte != 0xAD):
            characters.append(chr(byte))
        else:
            characters.append(chr(0x100 + substitutes))
            substitutes += 1
    return characters


_BYTE_CHARACTERS = _byte_characters()


def _name(token: bytes) -> str:
    return "".join(_BYTE_CHARACTERS[byte] for byte in token)


def _split(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Find the two tokens whose merge made `token`: encode it with the lower ranks only."""
    parts = [token[i : i + 1] for i in range(len(token))]
    limit = ranks[token]
    while len(parts) > 2:
        candidates = [
            (ranks.get(first + second, limit), position)
            for position, (first, second) in enumerate(itertools.pairwise(parts))
        ]
        rank, position = min(candidates)
        if rank >= limit:
            break
        parts[position : position + 2] = [parts[position] + parts[position + 1]]
    assert len(parts) == 2, token
    return parts[0], parts[1]


@dataclass
class Vocabulary:
    """Whisper's tokens and the part of them that the phrases use."""

    ranks: dict[bytes, int]
    languages: list[str]

    @cached_property
    def special_tokens(self) -> list[str]:
        """The names of all tokens after the text, in the order of their ids."""
        return [
            "<|endoftext|>",
            "<|startoftranscript|>",
            *(f"<|{code}|>" for code in self.languages),
            *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
            *("<|nospeech|>", "<|notimestamps|>"),
            *(f"<|{number * 0.02:.2f}|>" for number in range(TIMESTAMPS)),
        ]

    def special_id(self, name: str) -> int:
        """Return the id of "endoftext", "es", "0.00" and the like."""
        return len(self.ranks) + self.special_tokens.index(f"<|{name}|>")

    @cached_property
    def _merges(self) -> dict[bytes, tuple[bytes, bytes]]:
        return {token: _split(token, self.ranks) for token in self.ranks if len(token) > 1}

    def tokenizer(self, tokens: Iterable[bytes] | None = None) -> tokenizers.Tokenizer:
        """Build a tokenizer of all text tokens or only of `tokens`, with the ids of Whisper."""
        kept = set(self.ranks if tokens is None else tokens)
        ordered = sorted(kept, key=self.ranks.__getitem__)
        # The special tokens are part of the vocabulary too, which gives them their ids although
        # text tokens are missing before them.
        vocabulary = {_name(token): self.ranks[token] for token in ordered}
        vocabulary |= {name: len(self.ranks) + i for i, name in enumerate(self.special_tokens)}
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        description = {
            "version": "1.0",
            "added_tokens": [
                {"id": vocabulary[name], "content": name, **flags, "special": True}
                for name in self.special_tokens[:-TIMESTAMPS]
            ],
            "pre_tokenizer": {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
            "decoder": {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
            "model": {
                "type": "BPE",
                "vocab": vocabulary,
                "merges": [[_name(part) for part in self._merges[token]] for token in ordered if len(token) > 1],
            },
        }
        return tokenizers.Tokenizer.from_str(json.dumps(description))

    @cached_property
    def full_tokenizer(self) -> tokenizers.Tokenizer:
        """The tokenizer with all of Whisper's text tokens."""
        return self.tokenizer()

    def encode(self, text: str) -> list[int]:
        """Encode with the full tokenizer."""
        return list(self.full_tokenizer.encode(text, add_special_tokens=False).ids)

    @cached_property
    def phrase_ids(self) -> list[list[int]]:
        """The text tokens of each phrase. Whisper writes a space before each sentence."""
        return [self.encode(" " + phrase.text) for phrase in PHRASES]

    @cached_property
    def _kept_tokens(self) -> set[bytes]:
        """All bytes, and every token on the way to the tokens of the phrases and the suppressed texts."""
        by_id = {rank: token for token, rank in self.ranks.items()}
        # CTranslate2 takes a vocabulary with the empty token (and no other) for a multilingual one.
        kept = {token for token in self.ranks if len(token) <= 1}
        wanted = {token_id for ids in self.phrase_ids for token_id in ids}
        for text in _SUPPRESSED:
            wanted.update(self.encode(text), self.encode(" " + text))
        queue = [by_id[token_id] for token_id in wanted]
        while queue:
            token = queue.pop()
            if token not in kept:
                kept.add(token)
                queue.extend(self._merges[token])
        return kept

    @cached_property
    def slim_tokenizer(self) -> tokenizers.Tokenizer:
        """The tokenizer that is delivered with the model."""
        slim = self.tokenizer(self._kept_tokens)
        for text in (*(" " + phrase.text for phrase in PHRASES), *_SUPPRESSED):
            ids = slim.encode(text, add_special_tokens=False).ids
            assert ids == self.encode(text), text
        return slim

    @cached_property
    def slim_names(self) -> list[str]:
        """A name for each id, for CTranslate2; fillers where the text token was left out."""
        kept = self._kept_tokens
        names = [
            _name(token) if token in kept else f"~{rank:x}"
            for token, rank in sorted(self.ranks.items(), key=lambda item: item[1])
        ]
        names += self.special_tokens
        assert len(names) == len(set(names)) == VOCABULARY_SIZE
        return names


def load(folder: Path) -> Vocabulary:
    """Read Whisper's vocabulary, fetching it into `folder` first if need be."""
    with tarfile.open(_download(folder)) as archive:
        lines = _member(archive, "assets/multilingual.tiktoken").splitlines()
        languages = _language_codes(_member(archive, "whisper/tokenizer.py"))
    pairs = (line.split() for line in lines if line.strip())
    # One token of the file is the empty text; Python splits its line into the rank alone.
    ranks = {base64.b64decode(pair[0]) if len(pair) == 2 else b"": int(pair[-1]) for pair in pairs}
    vocabulary = Vocabulary(ranks, languages)
    assert len(ranks) + len(vocabulary.special_tokens) == VOCABULARY_SIZE
    return vocabulary
