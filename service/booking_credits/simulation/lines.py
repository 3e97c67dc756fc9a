"""Lines: CloudEvents as JSON, one on each line, those that arrive and those that are published.

They arrive in their order: an event at the time that it says or, where it came later than that, at
its `recordedtime`, an extension of CloudEvents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from booking_credits.inbox.reading import read_record
from booking_credits.ledger.calendars import EVER
from booking_credits.ledger.policies import PolicyBook
from booking_credits.posting.batch import Arrival, DeadLetter, Origin
from booking_credits.simulation.simulation import Published, Refused
from booking_credits_contracts.times import Instant

# What the relay says that it is.
SOURCE: Final = "booking-credits"
_HEADERS: Final = (("content-type", b"application/cloudevents+json"),)


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says: an event and when it arrives, or why it cannot be read."""

    number: int
    content: Arrival | Refused
    arrives_at: datetime


class _Extension(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    recordedtime: Instant | None = None


def read_lines(lines: Iterable[bytes], book: PolicyBook) -> Iterator[Line]:
    """Read every line that is not blank; lines are numbered from 1."""
    for number, written in enumerate(lines, 1):
        value = written.strip()
        if value:
            yield _line(number, value, book)


def write_event(published: Published) -> str:
    """Write an event with the attributes that it is published with, around the same payload."""
    rendered = published.rendered
    attributes = {
        "specversion": "1.0",
        "id": str(rendered.event_id),
        "source": SOURCE,
        "type": rendered.type,
        "time": published.recorded_at,
        "subject": published.account_id,
        "datacontenttype": "application/json",
    }
    return f'{to_json(attributes).decode()[:-1]},"data":{rendered.payload}}}'


def _line(number: int, value: bytes, book: PolicyBook) -> Line:
    origin = Origin("line", 0, number, None, None, value, _HEADERS)
    told = read_record(origin, book, EVER)
    if isinstance(told, DeadLetter):
        return Line(number, Refused(told.reason, told.detail), EVER)
    try:
        recorded_at = _Extension.model_validate_json(value).recordedtime
    except ValidationError:
        return Line(number, Refused("invalid_attribute", "recordedtime: no instant"), EVER)
    return Line(number, told, recorded_at or told.fact.occurred_at)
