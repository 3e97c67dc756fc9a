"""Tutorial: the shape that tutorials show, for comparison. Run by itself: python -m bench.tutorial.

One handler, one message, one transaction, and the handler publishes what comes of it. It decides
by the same code and writes to the same tables as the service, but can lose what it publishes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from booking_credits.app import reader_by
from booking_credits.inbox.reading import read_record
from booking_credits.inbox.records import origin_of
from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.outcomes import Outcome
from booking_credits.outbox.rendering import render
from booking_credits.policy_file import load_policies
from booking_credits.postgres.pool import open_pool
from booking_credits.posting.batch import Arrival, Batch
from booking_credits.posting.post import Poster, Rendered
from booking_credits.settings import Settings
from booking_credits_contracts import write_headers


class Rendering:
    """Renders as the service does and keeps what it rendered, for the handler to publish."""

    def __init__(self) -> None:
        self.rendered: list[Rendered] = []

    def __call__(
        self, arrival: Arrival, outcome: Outcome, grants: Mapping[str, GrantRecord]
    ) -> Sequence[Rendered]:
        """Render one outcome; of an arrival that is settled again the last counts."""
        self.rendered = list(render(arrival, outcome, grants))
        return self.rendered


async def consume(settings: Settings) -> None:
    """Handle one message after the other until SIGTERM."""
    book = load_policies(settings.policies)
    pool = await open_pool(settings.postgres_dsn.get_secret_value(), application_name="tutorial")
    rendering = Rendering()
    poster = Poster(pool, book, read_fact=reader_by(book), render=rendering)
    broker = KafkaBroker(settings.kafka_bootstrap, logger=None)

    @broker.subscriber(
        *settings.input_topic_names, group_id=settings.group_id, auto_offset_reset="earliest"
    )
    async def handle(message: KafkaMessage) -> None:
        record = message.raw_message
        assert not isinstance(record, tuple)
        arrival = read_record(origin_of(record), book, datetime.now(UTC))
        assert isinstance(arrival, Arrival)
        rendering.rendered = []
        await poster.post(Batch((arrival,)))
        for part in rendering.rendered:
            headers = write_headers(
                id=str(part.event_id),
                source="tutorial",
                type=part.type,
                time=arrival.recorded_at,
                subject=arrival.account_id,
            )
            await broker.publish(
                part.payload.encode(),
                settings.output_topics[part.type],
                key=arrival.account_id.encode(),
                headers={name: text.decode() for name, text in headers},
            )

    await FastStream(broker, logger=None).run()
    await pool.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(consume(Settings()))
