"""Watchdog: what stands still is told from what waits, whatever there is to wait for."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from booking_credits.exit_codes import ExitCode
from booking_credits.health.vitals import Publishing, Reading, Vitals
from booking_credits.health.watchdog import Watch, Watchdog, symptoms

BUDGET_SECONDS = 10.0
SYMPTOMS = symptoms(
    consumer_stuck_seconds=BUDGET_SECONDS,
    batch_stuck_seconds=BUDGET_SECONDS,
    relay_stuck_seconds=BUDGET_SECONDS,
    loop_blocked_seconds=BUDGET_SECONDS,
)
AN_HOUR = 3600


def vitals_at(second: int) -> Vitals:
    """Take the vitals of a worker that does everything it should, a second after the other."""
    return Vitals(
        taken_at=float(second),
        beat=second,
        phase="serving",
        database_answers=True,
        kafka_answers=True,
        reading=Reading(runs=True, polls=second, fetched_at_ms=second * 1000, assigned=2, held=2),
        publishing=Publishing(
            runs=True,
            published={"balance-changed": second},
            something_waits=True,
            last_looked_at=datetime.fromtimestamp(second, UTC),
        ),
    )


def found(**changed: object) -> tuple[str, int] | None:
    """Watch a worker for an hour, part of whose vitals never change; say what was found, when."""
    reading = {n: v for n, v in changed.items() if n in Reading.__dataclass_fields__}
    publishing = {n: v for n, v in changed.items() if n in Publishing.__dataclass_fields__}
    rest = {n: v for n, v in changed.items() if n in Vitals.__dataclass_fields__}
    watch = Watch(SYMPTOMS)
    for second in range(AN_HOUR):
        vitals = vitals_at(second)
        vitals = replace(
            vitals,
            reading=replace(vitals.reading, **reading),  # type: ignore[arg-type]
            publishing=replace(vitals.publishing, **publishing),  # type: ignore[arg-type]
            **rest,  # type: ignore[arg-type]
        )
        symptom = watch.look(vitals, 1.0)
        if symptom is not None:
            return symptom.name, second
    return None


def test_a_worker_that_does_its_work_is_left_alone() -> None:
    """Nothing is found where every mark moves."""
    assert found() is None


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"beat": 7}, "event loop blocked"),
        ({"polls": 7}, "consumer does not poll"),
        ({"fetched_at_ms": 7}, "consumer does not fetch"),
        ({"fetched_at_ms": 0}, "consumer does not fetch"),
        ({"batch_began_at": 7.0, "posting_began_at": 7.0}, "batch is not posted"),
        ({"published": {}, "last_looked_at": None}, "relay does not look"),
        ({"published": {}}, "relay does not publish"),
    ],
)
def test_what_stands_still_is_found_when_its_budget_is_spent(
    changed: dict[str, object], name: str
) -> None:
    """It is found then and not before."""
    assert (name, BUDGET_SECONDS) == found(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        # Kafka is away: polls hang and come back empty, pages fail and are tried again.
        {"kafka_answers": False, "polls": 7, "fetched_at_ms": 7, "published": {}},
        # The database is away: a batch is tried again, the relay cannot look.
        {
            "database_answers": False,
            "batch_began_at": 7.0,
            "posting_began_at": 7.0,
            "polls": 7,
            "last_looked_at": None,
            "published": {},
        },
        # Both are.
        {
            "kafka_answers": False,
            "database_answers": False,
            "polls": 7,
            "fetched_at_ms": 7,
            "last_looked_at": None,
            "published": {},
        },
        # There is nothing to publish.
        {"published": {}, "something_waits": False},
        # Every partition is another's, or waits to be taken.
        {"fetched_at_ms": None},
        # Reading and publishing are left to other workers.
        {
            "runs": False,
            "polls": 0,
            "fetched_at_ms": None,
            "published": {},
            "something_waits": False,
            "last_looked_at": None,
        },
        # It is only about to begin.
        {"phase": "starting", "polls": 0, "fetched_at_ms": 0, "published": {}},
    ],
)
def test_a_worker_that_waits_for_something_is_left_alone(changed: dict[str, object]) -> None:
    """However long it takes: an outage is told by probes and metrics, not by an end."""
    assert found(**changed) is None


def test_a_long_batch_is_not_a_consumer_that_does_not_poll() -> None:
    """While a batch is in hand, only the batch's own budget counts."""
    reading = Reading(runs=True, batch_began_at=7.0, polls=7, fetched_at_ms=7)
    watch = Watch(tuple(s for s in SYMPTOMS if s.name != "batch is not posted"))
    looks = [watch.look(replace(vitals_at(second), reading=reading), 1.0) for second in range(60)]
    assert {None} == set(looks)


async def test_a_shutdown_has_a_deadline() -> None:
    """Once the end is expected, only the deadline counts."""
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    watchdog = Watchdog(lambda: vitals_at(7), SYMPTOMS, end=end)
    watchdog.start()
    watchdog.expect_end(0.1)
    assert ended.wait(5)
    assert [ExitCode.SHUTDOWN_OVERRAN] == codes


async def test_a_shutdown_keeps_its_first_deadline() -> None:
    """Whoever gets on with it may not put the end off."""
    ended = threading.Event()
    watchdog = Watchdog(lambda: vitals_at(7), SYMPTOMS, end=lambda _: ended.set())
    watchdog.start()
    watchdog.expect_end(0.1)
    watchdog.expect_end(60)
    assert ended.wait(5)
