"""What a simulation came to, for people."""

from collections.abc import Mapping
from typing import Any

from gateway.cli.tables import table
from gateway.errors import ErrorCode
from gateway.simulator.checks import Check
from gateway.values import Outcome

FAILURES_SHOWN = 10
LATE_MS = 300
"""From this delay of its own on, the simulator says that it may itself have caused what it found."""

_ADVICE = {
    ErrorCode.RATE_LIMITED: "the gateway's turns_per_minute is reached: let the devices rest longer (--pause)",
    ErrorCode.AUDIO_TOO_SHORT: "what --wav holds is shorter than the gateway's utterance_min_s",
    ErrorCode.AUDIO_TOO_LONG: "what --wav holds is longer than the gateway's utterance_max_s",
}
"""What to do about errors that come from how the simulator was called."""


def told(result: Mapping[str, Any]) -> str:
    """Return the tables of `result`, what failed, and what that may come from."""
    checks = [
        (check.value, str(result["checks"][check.name.lower()]["passed"]), _failed(result, check)) for check in Check
    ]
    parts = ["", table(("check", "passed", "failed"), checks), "", table(("figure", "value"), _figures(result))]
    if result["failures"]:
        parts += ["", *_failures(result)]
    parts += ["", *_notes(result), _verdict(result)]
    return "\n".join(parts)


def _failed(result: Mapping[str, Any], check: Check) -> str:
    return str(result["checks"][check.name.lower()]["failed"])


def _figures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    first, sent, heard = result["first_sound_ms"], result["frames_sent"], result["frames_as_heard"]
    slow = result["slow_consumers"]
    rows = [
        ("time", f"{result['seconds']} s" + (", ended early" if result["stopped_early"] else "")),
        ("answers", f"{result['answers']}, {result['interrupted_on_purpose']} of them interrupted on purpose"),
        ("outcomes", _counted(result["outcomes"])),
    ]
    if first["p50"] is not None:
        rows.append(("first sound", f"{first['p50']} ms (median), {first['p95']} ms (95 %), {first['max']} ms at most"))
    if sent["sent"] or sent["lost"]:
        rows += [
            (
                "frames, sent",
                f"{sent['sent']}; {sent['lost']} lost, {sent['duplicated']} repeated, {sent['reordered']} swapped",
            ),
            ("frames, heard", f"{heard['lost']} lost, {heard['duplicate']} duplicate, {heard['late']} late"),
        ]
    if result["slow_devices"]:
        rows.append(
            ("slow consumers", f"{result['slow_devices']}: {slow['answers']} answers, {slow['given_up']} given up")
        )
    rows += [("events", _counted(result["events"])), ("errors", _counted(result["errors"]))]
    cpu = f"simulator {result['simulator']['cpu_cores']} cores"
    if "gateway" in result:
        cpu += f", gateway and broker {result['gateway']['cpu_cores']}"
    rows.append(("CPU", cpu))
    return rows


def _failures(result: Mapping[str, Any]) -> list[str]:
    shown = [
        f"  {failure['device']} turn {_turn(failure['turn'])}: not {Check[failure['check'].upper()].value}:"
        f" {failure['why']}"
        for failure in result["failures"][:FAILURES_SHOWN]
    ]
    more = sum(counts["failed"] for counts in result["checks"].values()) - len(shown)
    return [*shown, *([f"  and {more} more (--json has the first {len(result['failures'])})"] if more > 0 else [])]


def _turn(turn: int | None) -> str:
    return "?" if turn is None else f"{turn:#06x}"


def _notes(result: Mapping[str, Any]) -> list[str]:
    notes = [f"Note: {what} ({times} times)" for what, times in result["troubles"].items()]
    if result["not_asked"]:
        notes.append(f"Note: {result['not_asked']} questions could not be sent")
    notes += [f"Note: {advice}" for code, advice in _ADVICE.items() if result["errors"].get(code)]
    if result["outcomes"].get(Outcome.SILENT) and not result["frames_sent"]["lost"]:
        notes.append("Note: in some questions the gateway understood nothing: listen to what --wav holds")
    late_ms = result["simulator"]["latest_ms"]
    if late_ms >= LATE_MS:
        notes.append(
            f"Note: this machine was too busy for the simulator itself: it looked up to {late_ms} ms late, and counts"
            " that as the gateway's. Use fewer devices, a longer --pause, or another machine."
        )
    if not result["memory_checked"]:
        notes.append(
            "Note: whether a device is told what it said itself is checked with the offline chat engine alone;"
            " that nobody is told another's name was checked."
        )
    return notes


def _verdict(result: Mapping[str, Any]) -> str:
    if not result["answers"]:
        return "Nothing was checked: no answer came to its end."
    return "Every answer passed." if result["ok"] else "Not every answer passed."


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
