"""The results as a page to read and as a picture."""

from collections.abc import Sequence
from html import escape
from typing import Any

Result = dict[str, Any]

BAR = {"gateway": "#2a6f97", "plain": "#b8c4cc"}
ROW_HEIGHT, LABEL_WIDTH, BAR_WIDTH, VALUE_WIDTH = 26, 250, 380, 110


def page(result: Result) -> str:
    """Everything that was measured, in Markdown that reads well unrendered."""
    machine = result["machine"]
    lines = [
        f"# The gateway's own share, {result['when']}",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}; load average"
        f" {machine['load_before']} before, {machine['load_after']} after. Broker: {result['broker']}."
        f" Gateway {result['version']}, engines that take no time. Median of the rounds (least to greatest).",
        "",
        "## From END to the first frame of the reply",
        "",
        *_table(
            ("devices", "questions", "", "p50 ms", "p95 ms", "CPU ms a turn"),
            [row for each in result["latency"] for row in _latency_rows(each)],
        ),
        "",
        f"## Messages of {result['throughput']['message_bytes']} bytes taken in, saturated",
        "",
        *_table(
            ("", "messages/s", "CPU µs a message", "lost"),
            [
                (side, _range(figures["messages_a_second"], 0), _range(figures["cpu_us_a_message"], 1), figures["lost"])
                for side in ("gateway", "aiomqtt")
                for figures in [result["throughput"][side]]
            ],
        ),
        "",
        "## Memory of a session after its turn",
        "",
        *_table(("sessions", "measured", "KiB each"), _memory_rows(result["memory"])),
    ]
    return "\n".join([*lines, ""])


def _latency_rows(each: Result) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (
            each["devices"],
            each["questions"],
            side,
            _range(each[side]["p50_ms"]),
            _range(each[side]["p95_ms"]),
            _range(each[side]["cpu_ms_a_turn"]),
        )
        for side in ("gateway", "echo")
    ]
    ratio = each["ratio"]
    return [*rows, (each["devices"], each["questions"], "ratio", _range(ratio["p50"]), _range(ratio["p95"]), "")]


def _memory_rows(memory: Result) -> list[tuple[object, ...]]:
    rows = [(each["devices"], "resident", each["bytes_a_session"]) for each in memory["resident"]]
    traced = memory["traced"]
    rows.append((traced["devices"], "allocated by Python", traced["bytes_a_session"]))
    return [(count, how, "unknown here" if size is None else f"{size / 1024:.1f}") for count, how, size in rows]


def _range(figures: dict[str, float], digits: int = 1) -> str:
    return f"{figures['median']:.{digits}f} ({figures['min']:.{digits}f} to {figures['max']:.{digits}f})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    cells = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def picture(result: Result) -> str:
    """The gateway beside what it is compared with, as SVG: each group of bars has its own scale."""
    groups: list[tuple[str, list[tuple[str, str, float]]]] = []
    for each in result["latency"]:
        bars = [
            (f"{side}, {key}", "gateway" if side == "gateway" else "plain", each[side][f"{key}_ms"]["median"])
            for key in ("p50", "p95")
            for side in ("gateway", "echo")
        ]
        groups.append((f"ms from END to the first reply frame, {each['devices']} at once", bars))
    sides = (("gateway", "gateway"), ("aiomqtt", "plain"))
    rates = [(side, kind, result["throughput"][side]["messages_a_second"]["median"]) for side, kind in sides]
    groups.append(("messages a second taken in", rates))

    parts: list[str] = []
    y = 10
    for title, bars in groups:
        y += ROW_HEIGHT
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>')
        longest = max(value for _, _, value in bars)
        for label, kind, value in bars:
            y += ROW_HEIGHT
            width = BAR_WIDTH * value / longest
            parts.append(f'<text x="{LABEL_WIDTH - 10}" y="{y}" text-anchor="end">{escape(label)}</text>')
            parts.append(f'<rect x="{LABEL_WIDTH}" y="{y - 14}" width="{width:.1f}" height="18" fill="{BAR[kind]}"/>')
            parts.append(f'<text x="{LABEL_WIDTH + width + 8:.1f}" y="{y}">{_short(value)}</text>')
        y += ROW_HEIGHT // 2
    width, height = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH, y + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="14">'
    background = f'<rect width="{width}" height="{height}" fill="white"/>'
    return "\n".join([head, background, '<g font-family="sans-serif">', *parts, "</g>", "</svg>", ""])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
