"""Vitals: how a worker is at one moment, as a value that any thread may read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from booking_credits.postgres.probe import Outlook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from booking_credits.inbox.subscriber import Inbox
    from booking_credits.outbox.relay import Relay

Phase: TypeAlias = Literal["starting", "serving", "stopping"]

# Older vitals say that the event loop has not run for a while.
FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How reading goes, as `Inbox` and its parts have it, where this worker has one: it `runs`.

    Of the partitions that are `assigned` some are `held` by now, and so are read.
    """

    runs: bool = False
    batch_began_at: float | None = None
    posting_began_at: float | None = None
    polls: int = 0
    fetched_at_ms: int | None = None
    failures: int = 0
    fenced: int = 0
    assigned: int = 0
    lags: Mapping[tuple[str, int], int] = field(default_factory=dict)
    held: int = 0
    topics_recreated: int = 0
    records_expired: int = 0


@dataclass(frozen=True, slots=True)
class Publishing:
    """How publishing goes, as `RelayState` has it, where this worker has a relay: it `runs`."""

    runs: bool = False
    published: Mapping[str, int] = field(default_factory=dict)
    failures: int = 0
    shards_led: int = 0
    something_waits: bool = False
    last_looked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a worker is. `taken_at` is of the monotonic clock, `beat` counts up.

    `kafka_answers` is None for a worker that does without Kafka. `outlook` is the last that the
    database gave, and `violations` what its last audit found: None before the first.
    """

    taken_at: float
    beat: int = 0
    phase: Phase = "starting"
    loop_delay_seconds: float = 0.0
    database_answers: bool = False
    kafka_answers: bool | None = False
    reading: Reading = field(default_factory=Reading)
    publishing: Publishing = field(default_factory=Publishing)
    outlook: Outlook = field(default_factory=Outlook)
    violations: int | None = None

    def age_seconds(self, now: float) -> float:
        """Say how long ago, by the monotonic clock, these were taken."""
        return max(0.0, now - self.taken_at)

    def unready(self, now: float) -> list[str]:
        """Name what keeps the worker from doing its work right now."""
        checks = {
            self.phase: self.phase == "serving",
            "database": self.database_answers,
            "kafka": self.kafka_answers is not False,
            "event loop": self.age_seconds(now) < FRESH_SECONDS,
        }
        return [name for name, is_well in checks.items() if not is_well]


def reading_of(inbox: Inbox | None) -> Reading:
    """Take the part of the vitals that an inbox has."""
    if inbox is None:
        return Reading()
    state, assignment = inbox.state, inbox.assignment
    return Reading(
        runs=True,
        batch_began_at=state.batch_began_at,
        posting_began_at=state.posting_began_at,
        polls=state.polls,
        fetched_at_ms=inbox.fetched_at_ms(),
        failures=state.failures,
        fenced=state.fenced,
        assigned=len(assignment.assigned),
        held=len(assignment.readings),
        lags=inbox.lags(),
        topics_recreated=assignment.topics_recreated,
        records_expired=assignment.records_expired,
    )


def publishing_of(relay: Relay | None) -> Publishing:
    """Take the part of the vitals that a relay has."""
    if relay is None:
        return Publishing()
    state = relay.state
    return Publishing(
        runs=True,
        published=dict(state.published_by_type),
        failures=state.failures,
        shards_led=len(state.led),
        something_waits=state.oldest_unpublished is not None,
        last_looked_at=state.last_looked_at,
    )
