"""Tracing: what arrived and what went out because of it, as one trace of OpenTelemetry.

A record's W3C `traceparent` is the parent of the span in which it is received and posted. That
span's own goes into the outbox with whatever the record caused, and out again in its headers.
What time itself causes belongs to no trace. A span names types and places, nothing of a payload.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.context import Context

    from booking_credits.postgres.outbox_queue import Queued
    from booking_credits.posting.batch import Arrival, Batch

_HEADER: Final = "traceparent"
_STOP_SECONDS: Final = 1.0
_W3C: Final = TraceContextTextMapPropagator()


class Tracing:
    """Tells a collector of spans, by OTLP over HTTP; what it cannot tell is dropped."""

    def __init__(self, endpoint: str) -> None:
        """Tell the collector at an address, path included."""
        self._provider = TracerProvider(
            resource=Resource.create({SERVICE_NAME: "booking-credits"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("booking_credits")

    @contextmanager
    def posting(self, batch: Batch) -> Iterator[Batch]:
        """Span what is received, and the posting of it all; the value is the batch to post."""
        received = [self._receive(arrival) for arrival in batch.arrivals]
        links = [Link(span.get_span_context()) for span in received]
        posting = self._tracer.start_span("post", links=links)
        posting.set_attribute("messaging.batch.message_count", len(received))
        marked = [
            replace(arrival, traceparent=_traceparent(span))
            for arrival, span in zip(batch.arrivals, received, strict=True)
        ]
        with _ended([*received, posting]):
            yield replace(batch, arrivals=tuple(marked))

    @contextmanager
    def publishing(self, page: Sequence[Queued]) -> Iterator[None]:
        """Span the publishing of what belongs to a trace."""
        spans = [
            self._tracer.start_span(
                f"publish {queued.type}", _context(queued.traceparent), SpanKind.PRODUCER
            )
            for queued in page
            if queued.traceparent is not None
        ]
        with _ended(spans):
            yield

    async def stop(self) -> None:
        """Tell what is left, within a second; a collector that is away gets no more."""
        # The library waits for it far longer, in a thread that must not keep the process.
        telling = threading.Thread(target=self._provider.shutdown, daemon=True)
        telling.start()
        await asyncio.to_thread(telling.join, _STOP_SECONDS)

    def _receive(self, arrival: Arrival) -> Span:
        span = self._tracer.start_span(
            f"receive {arrival.type}", _context(_traceparent_of(arrival)), SpanKind.CONSUMER
        )
        if arrival.origin is not None:
            span.set_attribute("messaging.system", "kafka")
            span.set_attribute("messaging.destination.name", arrival.origin.topic)
            span.set_attribute("messaging.kafka.offset", arrival.origin.offset)
            span.set_attribute("messaging.destination.partition.id", str(arrival.origin.partition))
        return span


@contextmanager
def _ended(spans: Sequence[Span]) -> Iterator[None]:
    """End spans with a block, as failed where it fails; of an error its kind is told alone."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        for span in spans:
            span.end()


def _traceparent_of(arrival: Arrival) -> str | None:
    """Return what a record says of the trace that it belongs to."""
    headers = () if arrival.origin is None else arrival.origin.headers
    values = (value for name, value in headers if name.lower() == _HEADER and value is not None)
    return next((value.decode("ascii", "replace") for value in values), None)


def _context(traceparent: str | None) -> Context:
    """Return the context of a trace; of none where nothing is said that can be read."""
    return _W3C.extract({} if traceparent is None else {_HEADER: traceparent})


def _traceparent(span: Span) -> str:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span))
    return carrier[_HEADER]
