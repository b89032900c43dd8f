"""Tables for people."""

from collections.abc import Sequence

GAP = "  "


def table(header: Sequence[str], rows: Sequence[Sequence[str]], widest: int = 60) -> str:
    """Return `rows` under `header` in aligned columns; a cell over `widest` characters is cut, save in the last
    column, and line breaks become spaces."""
    last = len(header) - 1
    cells = [
        [
            _cut(" ".join(cell.split()), widest) if index < last else " ".join(cell.split())
            for index, cell in enumerate(row)
        ]
        for row in (header, *rows)
    ]
    widths = [max(len(row[index]) for row in cells) for index in range(last)]
    lines = [
        GAP.join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[last]]).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def _cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else text[: widest - 1] + "…"
