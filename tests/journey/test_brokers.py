"""Brokers: while Kafka is away or hangs, reading and publishing wait, and then go on."""

import asyncio
import signal

from journey.checker import check
from journey.load import make_load
from journey.stage import Stage, wait_until_stopped
from local.kafka import Kafka

KILLED_SECONDS = 5
HANGING_SECONDS = 20


async def test_a_killed_broker_is_waited_for(stage: Stage, broken_kafka: Kafka) -> None:
    """Killed while a worker publishes and reads, and started again: all arrives, and once."""
    load = make_load(30, seed=4)
    await stage.send(load)
    worker = stage.start_worker(fault="publishing 3 SIGSTOP")
    await wait_until_stopped(worker)
    await asyncio.to_thread(broken_kafka.kill)
    worker.send(signal.SIGCONT)
    await asyncio.sleep(KILLED_SECONDS)
    await asyncio.to_thread(broken_kafka.start)
    await stage.settled()
    await stage.stop_workers()
    await check(stage, load)


async def test_a_broker_that_hangs_is_waited_for(stage: Stage, broken_kafka: Kafka) -> None:
    """Connections stay open for twenty seconds and nothing answers: all arrives, and once."""
    load = make_load(30, seed=5)
    await stage.send(load)
    worker = stage.start_worker(fault="publishing 3 SIGSTOP")
    await wait_until_stopped(worker)
    broken_kafka.pause()
    worker.send(signal.SIGCONT)
    await asyncio.sleep(HANGING_SECONDS)
    broken_kafka.resume()
    await stage.settled()
    await stage.stop_workers()
    await check(stage, load)
