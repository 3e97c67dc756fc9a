"""Quoting: what an event would change that has not happened, by settling it and keeping nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from booking_credits.enquiries.answers import Answer
from booking_credits.enquiries.explanation import zone_of
from booking_credits.enquiries.session import Looking
from booking_credits.inbox.reading import read_record
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import (
    BalanceChanged,
    CoverageDecided,
    DecidedLine,
    OverageDetected,
)
from booking_credits.ledger.buckets import BUCKETS
from booking_credits.ledger.charges import cash_for
from booking_credits.ledger.facts import BOOKING_FACTS
from booking_credits.ledger.settlement import settle
from booking_credits.outbox.rendering import line_json, quantities_json
from booking_credits.postgres import enquiries
from booking_credits.posting.batch import Arrival, Origin
from booking_credits.posting.opening import open_records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.enquiries.session import Session
    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.output import Json

_STRUCTURED = (("content-type", b"application/cloudevents+json"),)


class NotQuotable(Exception):
    """The event would not be posted; the message says why."""


async def quote(session: Session, account_id: str, event: bytes) -> Answer:
    """Say how the lines of a booking would be paid, and what else would change.

    The event is one that the service reads, a CloudEvent in structured mode.

    Raises:
        NotFound: nothing is on record of the account.
        NotQuotable: the event would be set aside or is on record already.
    """
    arrival = _read(session, account_id, event)
    looking, outcome = await settled(session, arrival)
    record = looking.record
    rows = await looking.ask(lambda record: _Quote(record, outcome).rows())
    about = {
        "account_id": account_id,
        "zone": zone_of(record),
        "event": arrival.type,
        "net_cash": _net_cash(record, outcome),
        "complete_through": await session.complete_through(),
    }
    tables = {
        "lines": rows,
        "balances": list(_balances(outcome)),
        "overages": list(_overages(outcome)),
    }
    return Answer(about, tables, zone_of(record), _COLUMNS)


async def settled(session: Session, arrival: Arrival) -> tuple[Looking, Outcome]:
    """Settle an arrival over what is on record, which stays as it is.

    Raises:
        NotFound: nothing is on record of the account.
        NotQuotable: the fact would be set aside or is on record already.
    """
    fact = arrival.fact
    if isinstance(fact, BOOKING_FACTS):
        owner = await enquiries.account_of_booking(session.connection, fact.booking_id)
        if owner not in (None, arrival.account_id):
            raise NotQuotable("other_account: the booking is another account's")
    reader = await session.reader(arrival.account_id)
    await open_records(reader, [arrival])
    looking = Looking(reader, reader.records[arrival.account_id])
    admission = admit(looking.record.facts_of(fact.subject), fact)
    if admission != "accepted":
        raise NotQuotable(f"{admission}: {fact.subject} is on record")
    return looking, await looking.ask(lambda record: settle(record, fact))


def _read(session: Session, account_id: str, event: bytes) -> Arrival:
    origin = Origin("quote", 0, 0, None, None, event, _STRUCTURED)
    read = read_record(origin, session.book, session.now)
    if not isinstance(read, Arrival):
        raise NotQuotable(f"{read.reason}: {read.detail}")
    if read.account_id != account_id:
        raise NotQuotable("the event is another account's")
    return read


_COLUMNS = (
    "booking_id",
    "line",
    "asked",
    "starts_at",
    "status",
    "costs",
    "takes",
    "uncovered",
    "cash",
    "reasons",
    "status_before",
    "takes_before",
    "cash_before",
)


class _Quote:
    """The lines that were asked about, and every other whose coverage would change."""

    def __init__(self, record: AccountRecord, outcome: Outcome) -> None:
        self._record = record
        self._outcome = outcome

    def rows(self) -> list[Json]:
        booking_id = getattr(self._outcome.fact, "booking_id", None)
        decided = {
            (content.booking_id, line.charge.line.line_no): line
            for content in _contents(self._outcome)
            if isinstance(content, CoverageDecided)
            for line in content.lines
        }
        asked = {key for key in decided if key[0] == booking_id}
        changed = {key for key in self._outcome.charges if self._is_paid_otherwise(key)}
        keys = sorted(asked | changed, key=lambda key: (key[0] != booking_id, key))
        return [self._row(key, decided.get(key), asked=key[0] == booking_id) for key in keys]

    def _is_paid_otherwise(self, key: LineKey) -> bool:
        before, after = self._record.charges.get(key), self._outcome.charges[key]
        if before is None or after is None:
            return before is not after
        return (before.eligible, before.coverage) != (after.eligible, after.coverage)

    def _row(self, key: LineKey, decided: DecidedLine | None, *, asked: bool) -> Json:
        record = self._record
        before = record.charges.get(key)
        was = None if before is None else self._line(DecidedLine(before, ()))
        line = None if decided is None else self._line(decided)
        standing = before if decided is None else decided.charge
        found = {name: None if line is None else line[name] for name in _PAID}
        return {
            "booking_id": key[0],
            "line": key[1],
            "asked": asked,
            "starts_at": None if standing is None else standing.line.starts_at,
            "status": "dropped" if line is None else line["status"],
            **found,
            "status_before": None if was is None else was["status"],
            "takes_before": None if was is None else was["takes"],
            "cash_before": None if was is None else was["cash"],
        }

    def _line(self, decided: DecidedLine) -> Json:
        return line_json(decided, self._grant, self._record.book)

    def _grant(self, grant_id: str) -> Grant:
        record = self._outcome.grants.get(grant_id) or self._record.grants[grant_id]
        return record.grant


_PAID = ("costs", "takes", "uncovered", "cash", "reasons")


def _contents(outcome: Outcome) -> Iterable[object]:
    return (announcement.content for announcement in outcome.announcements)


def _net_cash(record: AccountRecord, outcome: Outcome) -> list[Json]:
    """Sum up by currency how much more would be paid in cash, be it due now or later."""
    net: Counter[str] = Counter()
    for key, after in outcome.charges.items():
        net.update(_cash(after))
        net.subtract(_cash(record.charges.get(key)))
    return [
        {"amount_minor": minor, "currency": currency}
        for currency, minor in sorted(net.items())
        if minor
    ]


def _cash(charge: Charge | None) -> dict[str, int]:
    if charge is None or not charge.eligible or charge.line.price is None:
        return {}
    return {charge.line.price.currency: cash_for(charge) or 0}


def _balances(outcome: Outcome) -> Iterable[Json]:
    book = outcome.timeline.book
    for content in _contents(outcome):
        if isinstance(content, BalanceChanged):
            for bucket in BUCKETS:
                steps = {
                    "before": getattr(content.before, bucket),
                    "after": getattr(content.after, bucket),
                }
                if steps["before"] != steps["after"]:
                    texts = {
                        name: quantities_json([(content.unit, count)], book)[content.unit]
                        for name, count in steps.items()
                    }
                    yield {"unit": content.unit, "bucket": bucket, **texts}


def _overages(outcome: Outcome) -> Iterable[Json]:
    for content in _contents(outcome):
        if isinstance(content, OverageDetected):
            key = content.obligation.key
            yield {
                "booking_id": key.booking_id,
                "line": key.line_no,
                "period_start": key.period_start,
                "channel": key.channel,
                "status": content.status,
                "currency": key.currency,
                "change_minor": content.change_minor,
                "total_minor": content.obligation.total_minor,
            }
