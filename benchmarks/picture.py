"""All charts as one picture in SVG, legible on light and on dark ground: it has none of its own, and middle colours."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ROW, LABEL_WIDTH, BAR_WIDTH, VALUE_WIDTH, COLUMNS, GAP = 24, 200, 260, 110, 2, 30
"""Pixels: height of a row, widths of a chart's parts, space between the columns and between the charts."""
COLOURS = ("#2f81c1", "#8f9aa3", "#d98324", "#3f9c6b", "#a569bd", "#c0504d")
"""The first is that of the bars which are called the gateway's."""
STYLE = """
text { font: 13px sans-serif; fill: #24292f }
.title { font-weight: bold }
.spread { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } .spread { stroke: #d0d7de } }
"""

ChartData = Mapping[str, Any]
"""A `Chart` as JSON holds it."""


def picture(charts: Sequence[ChartData]) -> str:
    """Each chart has its own scale; what is drawn thin over a bar reaches from the least to the greatest round."""
    heights = [GAP] * COLUMNS
    parts: list[str] = []
    for chart in charts:
        column = heights.index(min(heights))
        left = GAP + column * (LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH + GAP)
        drawn, height = _chart(chart)
        parts.append(f'<g transform="translate({left} {heights[column]})">{drawn}</g>')
        heights[column] += height + GAP
    width = GAP + COLUMNS * (LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH + GAP)
    size = f'width="{width}" height="{max(heights)}" viewBox="0 0 {width} {max(heights)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}><title>What the gateway costs</title>'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _chart(chart: ChartData) -> tuple[str, int]:
    """The chart at the origin, and its height."""
    bars = chart["bars"]
    whole = max((max(bar["value"], bar["high"] or 0) for bar in bars), default=0) or 1
    colours = _colours([bar["label"] for bar in bars])
    lines = [f'<text class="title" y="14">{escape(chart["title"])}</text>']
    for index, bar in enumerate(bars, 1):
        y = index * ROW
        length = BAR_WIDTH * bar["value"] / whole
        ends = length
        lines += [
            f'<text x="{LABEL_WIDTH - 8}" y="{y + 14}" text-anchor="end">{escape(bar["label"])}</text>',
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="18" fill="{colours[bar["label"]]}"/>',
        ]
        if bar["low"] is not None and bar["high"] is not None:
            low, ends = (BAR_WIDTH * bar[end] / whole for end in ("low", "high"))
            lines.append(
                f'<line class="spread" x1="{LABEL_WIDTH + low:.1f}" x2="{LABEL_WIDTH + ends:.1f}"'
                f' y1="{y + 9}" y2="{y + 9}"/>'
            )
        at = LABEL_WIDTH + max(length, ends) + 6
        lines.append(f'<text x="{at:.1f}" y="{y + 14}">{short(bar["value"])} {escape(chart["unit"])}</text>')
    return "".join(lines), (len(bars) + 1) * ROW


def _colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour by the part of each label before its first comma; the first one for the gateway."""
    kinds = dict.fromkeys(label.partition(",")[0] for label in labels)
    order = sorted(kinds, key=lambda kind: not kind.startswith("gateway"))
    of = {kind: COLOURS[index % len(COLOURS)] for index, kind in enumerate(order)}
    return {label: of[label.partition(",")[0]] for label in labels}


def short(value: float) -> str:
    """About three digits: "22,894", "120", "6.62", "0.854"."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
