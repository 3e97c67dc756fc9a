"""Tracing: one trace leads through Kafka, posting and the outbox to whoever reads what comes out.

A real Kafka and a real Postgres, a worker of its own process, a collector on the loopback.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from booking_credits.exit_codes import ExitCode
from builders import a_booking, a_grant, a_line
from health.serving import Worker, serving
from health.test_serve import Place, place
from journey.stage import read_all
from local.supervision import free_port
from postgres.arrivals import record_of
from tracing.collector import collecting

__all__ = ["place"]

pytestmark = pytest.mark.timeout(180)

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = "00f067aa0ba902b7"
_TRACEPARENT = f"00-{_TRACE}-{_PARENT}-01"


async def test_one_trace_spans_from_what_comes_in_to_what_goes_out(place: Place) -> None:
    """What a record causes bears its trace, and the collector hears of each step."""
    with collecting() as collector:
        settings = place.settings | {"traces_endpoint": collector.endpoint}
        with serving(place.directory, **settings) as worker:
            worker.wait_until_ready()
            decided = await _publish(place, worker, _TRACEPARENT)
            worker.send(signal.SIGTERM)
            assert ExitCode.FINISHED == worker.wait(15)

    [received] = collector.named("receive booking-created")
    assert (_TRACE, _PARENT) == (received.trace_id.hex(), received.parent_span_id.hex())
    assert f"00-{_TRACE}-{received.span_id.hex()}-01" == _trace_of(decided)
    [published] = collector.named("publish coverage-decided")
    assert (_TRACE, received.span_id) == (published.trace_id.hex(), published.parent_span_id)
    assert received.end_time_unix_nano <= published.end_time_unix_nano
    linked = {link.span_id for post in collector.named("post") for link in post.links}
    assert received.span_id in linked


async def test_a_record_without_a_trace_begins_one(place: Place) -> None:
    """A header that says nothing that can be read is as none."""
    with collecting() as collector:
        settings = place.settings | {"traces_endpoint": collector.endpoint}
        with serving(place.directory, **settings) as worker:
            worker.wait_until_ready()
            decided = await _publish(place, worker, "a trace of its own kind \xff")
            worker.send(signal.SIGTERM)
            assert ExitCode.FINISHED == worker.wait(15)

    [received] = collector.named("receive booking-created")
    assert b"" == received.parent_span_id
    begun = f"00-{received.trace_id.hex()}-{received.span_id.hex()}-"
    assert str(_trace_of(decided)).startswith(begun)


async def test_nothing_is_traced_unless_someone_is_to_be_told(place: Place) -> None:
    """By default no header goes out."""
    with serving(place.directory, **place.settings) as worker:
        worker.wait_until_ready()
        decided = await _publish(place, worker, _TRACEPARENT)
    assert _trace_of(decided) is None


async def test_a_collector_that_is_away_holds_up_nothing(place: Place) -> None:
    """Events are posted and published as ever, and the worker ends in its time."""
    settings = place.settings | {"traces_endpoint": f"http://127.0.0.1:{free_port()}/v1/traces"}
    with serving(place.directory, **settings) as worker:
        worker.wait_until_ready()
        decided = await _publish(place, worker, _TRACEPARENT)
        assert str(_trace_of(decided)).startswith(f"00-{_TRACE}-")
        began_at = time.monotonic()
        worker.send(signal.SIGTERM)
        assert ExitCode.FINISHED == worker.wait(15)
        assert time.monotonic() - began_at < 9


def test_nothing_of_it_is_loaded_unless_asked_for() -> None:
    """A worker that traces nothing starts without the libraries that would."""
    script = "import sys, booking_credits.cli; print('opentelemetry.sdk' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "False\n" == said.stdout


async def _publish(place: Place, worker: Worker, traceparent: str) -> "ConsumerRecord":
    """Send a grant, then a booking of a trace; return what is decided of the booking."""
    facts = (a_grant(quantity=500), a_booking("b1", a_line(costs={"coin": 300})))
    async with AIOKafkaProducer(bootstrap_servers=place.settings["kafka_bootstrap"]) as producer:
        for fact in facts:
            record = record_of(fact)
            headers = [*record.headers, ("traceparent", traceparent.encode("latin-1"))]
            await producer.send_and_wait(place.topic, record.value, record.key, headers=headers)
    published = 'published_total{type="coverage-decided"}'
    await _until(lambda: worker.metric(published) == 1, worker)
    topic = place.settings["topic_coverage_decided"]
    [decided] = await read_all(place.settings["kafka_bootstrap"], [topic])
    return decided


def _trace_of(record: "ConsumerRecord") -> str | None:
    found = dict(record.headers).get("traceparent")
    return None if found is None else str(found, "ascii")


async def _until(condition: Callable[[], bool], worker: Worker) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, worker.log
        await asyncio.sleep(0.1)
