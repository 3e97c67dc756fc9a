"""Serving: what a worker of its own process says of itself, and how it ends."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from booking_credits.exit_codes import ExitCode
from booking_credits.ledger.announcements import KINDS
from builders import a_booking, a_grant, a_line
from conftest import CreateTopic
from health.serving import Worker, serving
from local.kafka import Kafka
from local.supervision import free_port
from postgres.arrivals import record_of

pytestmark = pytest.mark.timeout(180)


@dataclass
class Place:
    """Where a worker works: its settings, and what sends to its topic."""

    settings: dict[str, str]
    directory: Path
    topic: str

    async def send(self, *facts: object) -> None:
        """Publish facts as events, and one record that is none."""
        async with AIOKafkaProducer(bootstrap_servers=self.settings["kafka_bootstrap"]) as producer:
            for fact in facts:
                record = record_of(fact)  # type: ignore[arg-type]
                await producer.send_and_wait(
                    self.topic, record.value, record.key, headers=[*record.headers]
                )
            await producer.send_and_wait(self.topic, b"not an event")


@pytest.fixture
async def place(kafka: Kafka, database: str, topics: CreateTopic, tmp_path: Path) -> Place:
    topic = await topics("bookings", partitions=2)
    settings = {
        "kafka_bootstrap": kafka.bootstrap_servers,
        "postgres_dsn": database,
        "group_id": topic,
        "input_topics": topic,
        "session_timeout_seconds": "6",
    } | {f"topic_{name.replace('-', '_')}": await topics(name) for name in KINDS}
    return Place(settings, tmp_path, topic)


async def test_a_worker_says_how_it_is_and_ends_well(place: Place) -> None:
    """It is live at once, ready when it serves, counts what it does, and ends with 0."""
    line = a_line(costs={"coin": 1000}, price=1000)
    with serving(place.directory, **place.settings) as worker:
        worker.wait_until_ready()
        for path in ("/health/live", "/health/ready", "/health/started"):
            assert (200, []) == (worker.get(path)[0], worker.failing(path))
        assert 404 == worker.get("/")[0]

        await place.send(a_grant(quantity=500), a_booking("b1", line))
        _wait(worker, lambda: worker.metric("dead_letters_open") == 1)
        _wait(worker, lambda: worker.metric('published_total{type="overage-detected"}') == 1)
        expected = {
            'events_total{outcome="posted",type="booking-created"}': 1,
            'events_total{outcome="posted",type="credits-granted"}': 1,
            'dead_letters_total{reason="missing_attribute"}': 1,
            'overage_minor_units_total{currency="EUR",direction="owed"}': 500,
            'answers{server="database"}': 1,
            'answers{server="kafka"}': 1,
            'partitions{state="read"}': 2,
            'partitions{state="waiting"}': 0,
            f'lag_records{{partition="0",topic="{place.topic}"}}': 0,
            "oldest_unpublished_seconds": 0,
            "violations": 0,
            "shards_led": 16,
            "ready": 1,
        }
        assert expected == {sample: worker.metric(sample) for sample in expected}

        worker.send(signal.SIGTERM)
        assert ExitCode.FINISHED == worker.wait(15)
        assert "not an event" not in worker.log


async def test_what_contradicts_itself_in_the_ledger_is_counted(
    place: Place, database: str
) -> None:
    """A balance that its grants do not sum to is a violation at the next audit."""
    connection = await asyncpg.connect(database)
    await connection.execute(
        "insert into balances values ('mina-and-sons', 'coin', 5, 5, 0, 0, 0, 0)"
    )
    await connection.close()
    with serving(place.directory, audit_seconds="1", **place.settings) as worker:
        _wait(worker, lambda: worker.metric("violations") == 1)
        assert "grants_sum_to_balances" in worker.log


@pytest.mark.parametrize(
    ("harm", "budget", "code"),
    [
        ("event loop", {"loop_blocked_seconds": "3"}, ExitCode.LOOP_BLOCKED),
        ("batch", {"batch_stuck_seconds": "3"}, ExitCode.CONSUMER_STUCK),
        ("consumer", {"consumer_stuck_seconds": "3"}, ExitCode.CONSUMER_STUCK),
        ("relay", {"relay_stuck_seconds": "3"}, ExitCode.RELAY_STUCK),
    ],
)
async def test_a_worker_that_stands_still_ends_with_a_code_of_its_own(
    place: Place, harm: str, budget: dict[str, str], code: ExitCode
) -> None:
    """It says what stands still, and where its threads were."""
    await place.send(a_grant())
    with serving(place.directory, harm=harm, **budget, **place.settings) as worker:
        assert code == worker.wait(60), worker.log
        [said] = [line for line in worker.log.splitlines() if '"worker_ended"' in line]
        assert int(code) == json.loads(said)["exit_code"]
        assert "Thread 0x" in worker.log


async def test_a_blocked_event_loop_still_answers_that_it_is_not_live(place: Place) -> None:
    """Probes are answered by a thread."""
    await place.send(a_grant())
    settings = place.settings | {"loop_blocked_seconds": "7"}
    with serving(place.directory, harm="event loop", **settings) as worker:
        _wait(worker, lambda: "event loop" in worker.failing("/health/ready"))
        _wait(worker, lambda: worker.get("/health/live")[0] in (503, 0))
        assert ExitCode.LOOP_BLOCKED == worker.wait(30)


async def test_a_shutdown_that_overruns_is_cut_off(place: Place) -> None:
    """Whatever hangs, the process ends when its time is over."""
    settings = place.settings | {"shutdown_seconds": "1"}
    with serving(place.directory, harm="shutdown", **settings) as worker:
        worker.wait_until_ready()
        worker.send(signal.SIGTERM)
        assert ExitCode.SHUTDOWN_OVERRAN == worker.wait(5)


async def test_a_worker_that_was_stopped_for_long_goes_on(place: Place) -> None:
    """Time in which the process did not run is nobody's fault."""
    settings = place.settings | {"loop_blocked_seconds": "2", "consumer_stuck_seconds": "2"}
    with serving(place.directory, **settings) as worker:
        worker.wait_until_ready()
        worker.send(signal.SIGSTOP)
        await asyncio.sleep(4)
        worker.send(signal.SIGCONT)
        await place.send(a_grant())
        granted = 'events_total{outcome="posted",type="credits-granted"}'
        _wait(worker, lambda: worker.metric(granted) == 1)


async def test_what_cannot_start_says_why(place: Place) -> None:
    """What only a person can mend ends with 2, what may come back by itself with 69."""
    with serving(place.directory, **place.settings) as worker:
        worker.wait_until_ready()
        second = place.directory / "second"
        second.mkdir()
        with serving(second, health_port=str(worker.port), **place.settings) as other:
            assert ExitCode.USAGE == other.wait(30)
            assert "health port" in other.log
    no_database = {**place.settings, "postgres_dsn": place.settings["postgres_dsn"] + "_none"}
    with serving(place.directory, **no_database) as worker:
        assert ExitCode.UNAVAILABLE == worker.wait(30)
    nowhere = {**place.settings, "kafka_bootstrap": f"127.0.0.1:{free_port()}"}
    with serving(place.directory, **nowhere) as worker:
        assert ExitCode.UNAVAILABLE == worker.wait(90)


def _wait(worker: Worker, condition: Callable[[], bool], timeout_seconds: float = 40) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.2)
