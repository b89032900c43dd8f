"""Adds up what came of all answers. Bounded, however long a simulation runs. Pure."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from gateway.reports.stats import percentile
from gateway.simulator.checks import Answer, Check, judge
from gateway.values import LinkCounts

FAILURES_KEPT = 50
"""Failures kept with all that is known of them; all are counted."""
LATENCIES_KEPT = 100_000
"""Times to the first sound kept, the newest, for the percentiles."""
TROUBLES_KEPT = 20
"""Different troubles with the connection kept."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One check that an answer did not pass."""

    device: str
    turn: int | None
    check: Check
    why: str


class Tally:
    """Counts answers, verdicts, events and errors of all devices together."""

    def __init__(self) -> None:
        self.passed: Counter[Check] = Counter()
        self.failed: Counter[Check] = Counter()
        self.failures: list[Failure] = []
        self.answers = 0
        self.slow_answers = 0
        """Those of slow consumers, of which little is checked."""
        self.slow_given_up = 0
        self.interrupted = 0
        """Answers into which the device itself spoke."""
        self.outcomes: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.heard_lost = self.heard_duplicate = self.heard_late = 0
        """Frames as the gateway counted them."""
        self.not_asked = 0
        """Questions that could not be sent."""
        self.connected = 0
        self.troubles: Counter[str] = Counter()
        self._first_sound_ms: deque[int] = deque(maxlen=LATENCIES_KEPT)

    def add(self, device: str, answer: Answer) -> None:
        """Judge `answer` and count it."""
        self.answers += 1
        self.interrupted += answer.interrupted
        self.slow_answers += answer.slow
        self.slow_given_up += answer.slow and answer.gave_up is not None
        if answer.done is not None:
            self.outcomes[str(answer.done.get("outcome"))] += 1
            heard = _link_counts(answer.done.get("audio"))
            self.heard_lost += heard.lost
            self.heard_duplicate += heard.duplicate
            self.heard_late += heard.late
        if answer.reply.started_after_s is not None and answer.spoken and not answer.slow:
            # An utterance may be answered before its last message when speech ends before it does.
            self._first_sound_ms.append(round(max(0.0, answer.reply.started_after_s) * 1000))
        for check, why in judge(answer).items():
            if why is None:
                self.passed[check] += 1
            else:
                self.fail(Failure(device, answer.reply.turn, check, why))

    def fail(self, failure: Failure) -> None:
        self.failed[failure.check] += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)

    def trouble(self, what: str) -> None:
        """Count a connection that did not do what it should."""
        if what in self.troubles or len(self.troubles) < TROUBLES_KEPT:
            self.troubles[what] += 1

    @property
    def first_sound_ms(self) -> dict[str, int | None]:
        """Milliseconds from the end of a spoken question to the first sound: the median, 95 %, and the longest."""
        return {
            "p50": percentile(self._first_sound_ms, 0.5),
            "p95": percentile(self._first_sound_ms, 0.95),
            "max": max(self._first_sound_ms, default=None),
        }

    @property
    def ok(self) -> bool:
        """Whether answers were checked and nothing was wrong."""
        return bool(self.answers) and not (self.failed or self.not_asked or self.troubles)

    def as_data(self) -> dict[str, Any]:
        """Everything, for scripts."""
        return {
            "answers": self.answers,
            "interrupted_on_purpose": self.interrupted,
            "slow_consumers": {"answers": self.slow_answers, "given_up": self.slow_given_up},
            "outcomes": dict(self.outcomes),
            "checks": {
                check.name.lower(): {"passed": self.passed[check], "failed": self.failed[check]} for check in Check
            },
            "failures": [
                {
                    "device": failure.device,
                    "turn": failure.turn,
                    "check": failure.check.name.lower(),
                    "why": failure.why,
                }
                for failure in self.failures
            ],
            "first_sound_ms": self.first_sound_ms,
            "frames_as_heard": {
                "lost": self.heard_lost,
                "duplicate": self.heard_duplicate,
                "late": self.heard_late,
            },
            "events": dict(self.events),
            "errors": dict(self.errors),
            "not_asked": self.not_asked,
            "troubles": dict(self.troubles),
        }


def _link_counts(said: object) -> LinkCounts:
    """What `done` says of the frames; whatever is missing or no number counts nothing."""
    counts = said if isinstance(said, dict) else {}
    known = {name: counts[name] for name in ("lost", "duplicate", "late") if isinstance(counts.get(name), int)}
    return LinkCounts(**known)
