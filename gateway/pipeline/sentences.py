"""Cutting a stream of text into pieces to speak: a short first one, so that sound comes soon, then whole sentences.

Where the cuts fall depends on the text alone, never on how the stream happened to be chopped into tokens. A piece is
given as soon as the text shows its end, even if more sentences would fit: a slow model may take longer for them than
the piece before takes to play.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_CLAUSE_END = re.compile(r"[,;:.!?…]+[\"»”)\]]*(?=\s)|\n+")
_SENTENCE_END = re.compile(r"[.!?…]+[\"»”)\]]*(?=\s)|\n+")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
_ABBREVIATION = re.compile(r"(?:\b(?:Sr|Sra|Srta|Dr|Dra|Ud|Uds|Mr|Mrs|Ms|St|etc|p\. ?ej|aprox|núm|vs)|\b[A-Z])\.$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_EMPHASIS = re.compile(r"[*_`~]+")
_MARKUP = re.compile(r"[#|<>\\]+|^\s*[-•]\s+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Size:
    """A piece ends at the first `mark` after `shortest` characters, else within `longest` at a clause, else a word."""

    mark: re.Pattern[str]
    shortest: int
    longest: int


SHORTEST_PIECE = 12
FIRST_PIECE_MAX = 48
PIECE_MAX = 100
"""The longest text that every voice takes in one request, and some seven seconds of speech."""

# Measured: at 50 tokens/s a first piece of this size is ready after some 220 ms, a whole reply after 728 ms. The
# second must be spoken by the time that the short first one has been played, so it is short too and may end at a
# clause. From then on the speech of each piece lasts longer than the next takes, and whole sentences keep their melody.
_SIZES = (_Size(_CLAUSE_END, SHORTEST_PIECE, FIRST_PIECE_MAX), _Size(_CLAUSE_END, 24, PIECE_MAX))
_LATER_SIZE = _Size(_SENTENCE_END, 40, PIECE_MAX)


class SentenceCutter:
    """Takes text as it comes and gives pieces as soon as their end is certain."""

    def __init__(self) -> None:
        self._text = ""
        self._pieces = 0

    def feed(self, text: str) -> list[str]:
        """Add `text`; return the pieces that are complete now."""
        self._text += text
        pieces = []
        while (end := self._piece_end()) is not None:
            pieces.append(self._take(end))
        return [piece for piece in pieces if piece]

    def finish(self) -> list[str]:
        """Return what is left, the stream having ended."""
        pieces = self.feed("\n")
        rest = self._take(len(self._text))
        return [*pieces, rest] if rest else pieces

    def _take(self, end: int) -> str:
        piece = speakable(self._text[:end])
        self._text = self._text[end:].lstrip()
        if piece:
            self._pieces += 1
        return piece

    def _piece_end(self) -> int | None:
        size = _SIZES[self._pieces] if self._pieces < len(_SIZES) else _LATER_SIZE
        for end in self._ends(size.mark):
            if end > size.longest:
                break
            if end >= size.shortest:
                return end
        if len(self._text) <= size.longest:
            return None
        # A clause that is shorter than wanted still sounds better than one that is broken in the middle.
        within = [end for end in self._ends(_CLAUSE_END) if SHORTEST_PIECE <= end <= size.longest]
        spaces = [end for end in self._ends(_WORD_END) if end <= size.longest]
        return max(within, default=max(spaces, default=size.longest))

    def _ends(self, pattern: re.Pattern[str]) -> Iterator[int]:
        """Where `pattern` ends in the text, but for the ends of abbreviations."""
        for match in pattern.finditer(self._text):
            if match.end() and not _ABBREVIATION.search(self._text[: match.end()]):
                yield match.end()


def speakable(text: str) -> str:
    """Return `text` without what cannot be said: markup, link targets, emoji, and line breaks."""
    text = _LINK.sub(r"\1", text)
    text = _MARKUP.sub(" ", _EMPHASIS.sub("", text))
    text = "".join(c for c in text if c == "°" or unicodedata.category(c) not in {"So", "Sk", "Cs", "Co", "Cn", "Cf"})
    text = " ".join(text.split())
    return text if any(c.isalnum() for c in text) else ""
