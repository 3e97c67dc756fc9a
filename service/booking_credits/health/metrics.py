"""Metrics: every one that a worker exposes is declared here and explained in deploy/README.md.

What happens is counted as it happens; how things stand is asked of the vitals when it is scraped.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from booking_credits_contracts import RECEIVED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from booking_credits.health.vitals import Vitals
    from booking_credits.posting.batch import Batch, Posted

PREFIX: Final = "booking_credits_"

_RECORDS: Final = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
# What a record says of its type is anyone's; only those we know become labels.
_TYPES: Final = frozenset({*RECEIVED, "time-passed", "period-closed"})


class Metrics:
    """The metrics of one worker; any thread may count and render."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._events = Counter(
            f"{PREFIX}events",
            "Events posted, repeated or set aside.",
            ("type", "outcome"),
            registry=registry,
        )
        self._dead_letters = Counter(
            f"{PREFIX}dead_letters",
            "Records set aside.",
            ("reason",),
            registry=registry,
        )
        self._overage = Counter(
            f"{PREFIX}overage_minor_units",
            "Changes of what is owed in cash.",
            ("currency", "direction"),
            registry=registry,
        )
        self._batch_records = Histogram(
            f"{PREFIX}batch_records",
            "Records posted together.",
            buckets=_RECORDS,
            registry=registry,
        )
        self._batch_seconds = Histogram(
            f"{PREFIX}batch_seconds",
            "Time to post a batch.",
            buckets=_SECONDS,
            registry=registry,
        )

    def note_posted(self, posted: Posted) -> None:
        """Count what became of a batch."""
        for (event_type, outcome), count in posted.outcomes.items():
            label = event_type if event_type in _TYPES else "unknown"
            self._events.labels(label, outcome).inc(count)
        for letter in posted.dead_letters:
            self._dead_letters.labels(letter.reason).inc()
        for (currency, is_owed), minor in posted.overages.items():
            self._overage.labels(currency, "owed" if is_owed else "taken_back").inc(minor)

    def note_batch(self, batch: Batch, seconds: float) -> None:
        """Count a batch that was read and posted, with the time that posting took."""
        self._batch_records.observe(len(batch.arrivals) + len(batch.dead_letters))
        self._batch_seconds.observe(seconds)

    def ask(self, vitals: Callable[[], Vitals], now: Callable[[], datetime]) -> None:
        """Ask for the vitals, and what time it is by the worker, whenever metrics are scraped."""
        self.registry.register(_Asked(vitals, now))

    def render(self) -> bytes:
        """Write everything as Prometheus reads it."""
        return generate_latest(self.registry)


class _Asked(Collector):
    """Turns vitals into metrics."""

    def __init__(self, vitals: Callable[[], Vitals], now: Callable[[], datetime]) -> None:
        self._vitals = vitals
        self._now = now

    def collect(self) -> Iterable[Metric]:
        vitals = self._vitals()
        yield from self._of_worker(vitals)
        yield from self._of_reading(vitals)
        yield from self._of_publishing(vitals)
        yield from self._of_database(vitals)

    def _of_worker(self, vitals: Vitals) -> Iterable[Metric]:
        now = time.monotonic()
        stalled = vitals.age_seconds(now)
        yield _gauge("ready", "Whether the worker can do its work.", not vitals.unready(now))
        servers = {"database": vitals.database_answers}
        if vitals.kafka_answers is not None:
            servers["kafka"] = vitals.kafka_answers
        yield _gauges("answers", "Whether a server answers.", "server", servers)
        delay = max(vitals.loop_delay_seconds, stalled - 1)
        yield _gauge("event_loop_delay_seconds", "How late the event loop runs.", delay)

    def _of_reading(self, vitals: Vitals) -> Iterable[Metric]:
        reading = vitals.reading
        began_at = reading.batch_began_at
        yield _gauge(
            "batch_in_hand_seconds",
            "Age of the batch that is being posted.",
            0 if began_at is None else max(0.0, time.monotonic() - began_at),
        )
        lag = GaugeMetricFamily(
            f"{PREFIX}lag_records", "Records not yet read.", labels=("topic", "partition")
        )
        for (topic, partition), records in reading.lags.items():
            lag.add_metric((topic, str(partition)), records)
        yield lag
        partitions = {"read": reading.held, "waiting": max(0, reading.assigned - reading.held)}
        yield _gauges("partitions", "Partitions of this worker.", "state", partitions)
        yield _counter("posting_failures", "Batches tried again.", reading.failures)
        yield _counter("fenced_batches", "Batches of another's partitions.", reading.fenced)
        yield _counter("topics_recreated", "Partitions begun anew.", reading.topics_recreated)
        yield _counter("records_expired", "Gaps that retention left.", reading.records_expired)

    def _of_publishing(self, vitals: Vitals) -> Iterable[Metric]:
        publishing = vitals.publishing
        published = CounterMetricFamily(
            f"{PREFIX}published", "Announcements published.", labels=("type",)
        )
        for event_type, count in publishing.published.items():
            published.add_metric((event_type,), count)
        yield published
        yield _counter("publishing_failures", "Pages tried again.", publishing.failures)
        yield _gauge("shards_led", "Shards that this worker publishes.", publishing.shards_led)

    def _of_database(self, vitals: Vitals) -> Iterable[Metric]:
        outlook = vitals.outlook
        yield _gauge(
            "oldest_unpublished_seconds",
            "Age of the oldest announcement that waits.",
            self._age_seconds(outlook.oldest_unpublished),
        )
        yield _gauge(
            "clock_lag_seconds", "How late the clock is.", self._age_seconds(outlook.oldest_due)
        )
        waiting = outlook.periods_waiting_to_close
        yield _gauge("periods_waiting_to_close", "Periods that should be closed.", waiting)
        yield _gauge(
            "oldest_period_waiting_seconds",
            "How long the oldest of them has waited.",
            self._age_seconds(outlook.oldest_waiting_to_close),
        )
        yield _gauge("dead_letters_open", "Dead letters to look at.", outlook.dead_letters_open)
        violations = GaugeMetricFamily(f"{PREFIX}violations", "Broken rules of the ledger.")
        if vitals.violations is not None:
            violations.add_metric((), vitals.violations)
        yield violations

    def _age_seconds(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self._now() - since).total_seconds())


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", meaning, value=float(value))


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}{name}", meaning, labels=(label,))
    for which, value in values.items():
        family.add_metric((which,), float(value))
    return family


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}{name}", meaning, value=value)
