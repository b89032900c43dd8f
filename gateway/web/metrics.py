"""Figures for Prometheus: what happens is counted as it happens, what is true now is read when asked."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from gateway.events import Event, Failed, TurnEnded
from gateway.reports.live import Activity, LiveState
from gateway.values import Outcome, TurnKind

STAGES_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0)
"""Upper bounds of the buckets, in seconds."""

Gauges = Iterable[tuple[str, str, float]]
"""Name, help and value of figures that a part of the web server has of itself."""


class Metrics:
    """A listener to events."""

    def __init__(self, live: LiveState) -> None:
        self._live = live
        # When each counter was made says nothing here, and would double the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._turns = Counter(
            "voice_turns", "Turns that ended since the start", ("kind", "outcome"), registry=self._registry
        )
        for kind in TurnKind:
            for outcome in Outcome:
                # From the start at 0, or the first of its kind would be no increase.
                self._turns.labels(kind.value, outcome.value)
        self._stages = Histogram(
            "voice_turn_stage_seconds",
            "From the end of a question to that moment of its turn; received: from its beginning to its end",
            ("stage",),
            buckets=STAGES_S,
            registry=self._registry,
        )
        self._errors = Counter("voice_errors", "Errors told to devices", ("code", "stage"), registry=self._registry)
        self._cached = Counter("voice_cached_answers", "Answers given from the cache", registry=self._registry)
        self._reply_bytes = Counter("voice_reply_bytes", "Bytes of MP3 sent", registry=self._registry)

    def __call__(self, event: Event) -> None:
        match event:
            case TurnEnded():
                record = event.record
                self._turns.labels(record.kind.value, record.outcome.value).inc()
                for stage, spent_ms in asdict(record.timings).items():
                    if spent_ms is not None:
                        self._stages.labels(stage).observe(spent_ms / 1000)
                self._cached.inc(int(record.cached))
                self._reply_bytes.inc(record.bytes)
            case Failed():
                self._errors.labels(event.code.value, event.stage.value).inc()

    def page(self, statistics: dict[str, Any] | None, *, connected: bool, gauges: Gauges) -> bytes:
        """The text that Prometheus reads. `statistics` are the gateway's, as on their topic; None while the database
        does not answer, which is when the other figures are wanted most."""
        found = [
            *self._registry.collect(),
            _gauge("voice_broker_connected", "1 while the broker is connected", connected),
            _gauge("voice_store_answers", "1 while the database answers", statistics is not None),
            self._devices(),
            *(_gauge(*gauge) for gauge in gauges),
        ]
        if statistics is not None:
            found += _stored(statistics)
        return generate_latest(_Scrape(found))

    def _devices(self) -> Metric:
        devices = GaugeMetricFamily("voice_devices", "Devices by what they are doing", labels=["state"])
        doing = [state.activity for state in self._live.states]
        for activity in Activity:
            devices.add_metric([activity.value], doing.count(activity))
        return devices


class _Scrape:
    """What one request is answered, as the library wants it."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _stored(statistics: dict[str, Any]) -> Iterator[Metric]:
    """What the gateway's figures say."""
    yield InfoMetricFamily("voice_gateway", "The gateway", {"version": statistics["version"]})
    yield _gauge("voice_uptime_seconds", "Since the start", statistics["uptime_s"])
    yield _gauge("voice_sessions", "Conversations that are kept", statistics["total_sessions"])
    yield _gauge("voice_sessions_active", "Those of the last 24 hours", statistics["active_session_count"])
    yield _gauge("voice_devices_online", "Devices that are there", statistics["devices_online"])
    yield _gauge("voice_cache_entries", "Answers that are kept", statistics["cache"]["entries"])
    yield CounterMetricFamily("voice_frames_lost", "Frames lost, ever", value=statistics["audio"]["lost"])
    yield CounterMetricFamily("voice_frames_duplicate", "Duplicates, ever", value=statistics["audio"]["duplicate"])
    dropped = CounterMetricFamily("voice_dropped", "What reached a bound since the start", labels=["what"])
    for what, count in statistics["dropped"].items():
        dropped.add_metric([what], count)
    yield dropped
    yield from _engines(statistics["engines"])


def _engines(engines: list[dict[str, Any]]) -> Iterator[Metric]:
    labels = ["stage", "engine"]
    resting = GaugeMetricFamily(
        "voice_engine_resting_seconds", "How long it still rests; 0: it is asked", labels=labels
    )
    failures = CounterMetricFamily("voice_engine_failures", "Work that it failed or was too slow at", labels=labels)
    passed = CounterMetricFamily("voice_engine_passed_over", "Work that went past it", labels=labels)
    for engine in engines:
        which = [str(engine["stage"]), engine["engine"]]
        resting.add_metric(which, engine["resting_s"])
        failures.add_metric(which, engine["failures"])
        passed.add_metric(which, engine["passed_over"])
    yield from (resting, failures, passed)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)
