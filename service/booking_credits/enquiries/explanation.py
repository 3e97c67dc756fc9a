"""Explanation: why a booking is paid as it is, as a tree down to the events that were told.

A pure value, made of a record and what was told. Each node says one thing, for a person in words
and for a program as data, and below it stands what that rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from booking_credits.enquiries.wording import (
    instant_text,
    money_text,
    quantity_text,
    scope_text,
    window_text,
)
from booking_credits.ledger.announcements import DecidedLine
from booking_credits.ledger.answers import answer_of
from booking_credits.ledger.bookings import standing_lines
from booking_credits.ledger.charges import needed
from booking_credits.ledger.facts import BookingRevised, BookingStarted
from booking_credits.ledger.reasons import refusals
from booking_credits.ledger.standing import unit_of
from booking_credits.ledger.subjects import booking_subject, grant_subject
from booking_credits.outbox.rendering import decimal_text, line_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.enquiries.sources import Moved, Revised, Shortfall, Sources, Told
    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.announcements import Obligation, ObligationKey
    from booking_credits.ledger.charges import Charge, LineKey, Take
    from booking_credits.ledger.reasons import Refusal
    from booking_credits.output import Json

# Before anyone's first event, and within every calendar.
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS: Final = {
    "covered": "is covered",
    "partly": "is covered in part",
    "uncovered": "is not covered",
    "not_eligible": "may not be paid by credits",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One thing that is so, and what it rests on."""

    says: str
    data: Json
    because: tuple[Node, ...] = ()

    def json(self) -> Json:
        """Return the tree as JSON's types."""
        return {"says": self.says, **self.data, "because": [node.json() for node in self.because]}


def explain(
    record: AccountRecord, sources: Sources, booking_id: str, line_no: int | None = None
) -> Node:
    """Explain a booking, or one line of it; without facts it has no children.

    Raises `NotLoaded` where the record does not reach far enough.
    """
    return _Explanation(record, sources, booking_id).booking(line_no)


def zone_of(record: AccountRecord) -> str:
    """Return the zone in which an account's people read a clock, as of its present."""
    return record.timeline.period_at(record.present or _LONG_AGO).zone


def refusals_of(record: AccountRecord, charge: Charge) -> tuple[Refusal, ...]:
    """Say why a charge on record is short, if it is."""
    if not charge.short:
        return ()
    record.require_grants(charge.line.starts_at)
    return refusals(charge.standing, (r.grant for r in record.grants.values()))


class _Explanation:
    def __init__(self, record: AccountRecord, sources: Sources, booking_id: str) -> None:
        self._record = record
        self._sources = sources
        self._booking_id = booking_id
        self._book = record.book
        self._zone = zone_of(record)

    def booking(self, line_no: int | None) -> Node:
        booking_id = self._booking_id
        numbers = self._line_numbers() if line_no is None else [line_no]
        standing = len(self._record.lines.get(booking_id, ()))
        told = self._sources.of_booking(booking_id)
        lines = f"{standing} {'line stands' if standing == 1 else 'lines stand'}"
        return Node(
            f"Booking {booking_id} of {self._record.account_id}: {lines}",
            {"booking_id": booking_id, "account_id": self._record.account_id, "zone": self._zone},
            (*map(self._fact, told), *(self._line(number) for number in numbers)),
        )

    def _line_numbers(self) -> list[int]:
        """Number the lines that stand, and those that something was made of."""
        keys = {*self._record.lines.get(self._booking_id, ()), *self._record.obligations}
        keys |= {m.entry.line_key for m in self._sources.moved if m.entry.line_key is not None}
        return sorted(number for booking_id, number in keys if booking_id == self._booking_id)

    def _line(self, line_no: int) -> Node:
        key: LineKey = (self._booking_id, line_no)
        charge = self._record.charges.get(key)
        if charge is None:
            gone = {"line": line_no, "status": "dropped"}
            return Node(f"Line {line_no} does not stand", gone, tuple(self._history(key)))
        reasons = refusals_of(self._record, charge)
        grants = self._record.grants
        data = line_json(DecidedLine(charge, reasons), lambda i: grants[i].grant, self._book)
        line = charge.line
        starts, ends = (instant_text(at, self._zone) for at in (line.starts_at, line.ends_at))
        where = line.resource if line.location is None else f"{line.resource} at {line.location}"
        return Node(
            f"Line {line_no} {_STATUS[data['status']]}: {where}, {starts} to {ends}",
            data | {"starts_at": line.starts_at, "ends_at": line.ends_at},
            (
                *self._untouched_by(key),
                *(self._take(charge, take) for take in charge.coverage.takes),
                *self._uncovered(charge, reasons),
                *self._history(key),
            ),
        )

    def _untouched_by(self, key: LineKey) -> Iterable[Node]:
        """Name the revisions that came too late to change a line."""
        facts = self._record.facts_of(booking_subject(key[0]))
        known = [fact for fact in facts if isinstance(fact, BookingRevised | BookingStarted)]
        for fact in known:
            if not isinstance(fact, BookingRevised) or answer_of(fact) is not None:
                continue
            earlier = [
                k for k in known if isinstance(k, BookingStarted) or k.revision <= fact.revision
            ]
            standing = standing_lines(earlier).get(key[1])
            asked = next((line for line in fact.lines if line.line_no == key[1]), None)
            if standing is not None and standing.line != asked:
                wanted = "drop" if asked is None else "change"
                yield Node(
                    f"Revision {fact.revision} could not {wanted} it: it occurred "
                    f"{instant_text(fact.occurred_at, self._zone)}, when the line had started",
                    {"revision": fact.revision, "changed": False},
                )

    def _take(self, charge: Charge, take: Take) -> Node:
        grant = self._record.grants[take.grant_id].grant
        quantity = quantity_text(take.quantity, grant.unit, self._book)
        state = "drawn" if charge.drawn else "held"
        return Node(
            f"{quantity} {state} from grant {take.grant_id}",
            {
                "grant_id": take.grant_id,
                "unit": grant.unit,
                "quantity": self._decimal(take.quantity, grant.unit),
                "state": state,
            },
            (self._grant(take.grant_id),),
        )

    def _grant(self, grant_id: str) -> Node:
        """Say what a grant offers, and who said so."""
        grant = self._record.grants[grant_id].grant
        quantity = quantity_text(grant.quantity, grant.unit, self._book)
        says = (
            f"Grant {grant_id} ({grant.source}): {quantity} {window_text(grant, self._zone)}, "
            f"for {scope_text(grant.scope)}"
        )
        data = {
            "grant_id": grant_id,
            "source": grant.source,
            "unit": grant.unit,
            "quantity": None
            if grant.quantity is None
            else self._decimal(grant.quantity, grant.unit),
            "from_at": grant.from_at,
            "to_at": grant.to_at,
        }
        told = self._sources.of_subject(grant_subject(grant_id))
        return Node(says, data, tuple(map(self._fact, told)))

    def _decimal(self, steps: int, unit: str) -> str:
        return decimal_text(steps, self._book.units[unit].scale)

    def _uncovered(self, charge: Charge, reasons: Iterable[Refusal]) -> Iterable[Node]:
        if not charge.short:
            return
        line, fraction = charge.line, charge.coverage.uncovered
        missing = [
            quantity_text(needed(cost, fraction), unit, self._book)
            for unit, cost in line.costs
            if cost
        ]
        yield Node(
            f"{fraction[0]}/{fraction[1]} of it is not covered: {' or '.join(missing)}",
            {"uncovered_numerator": fraction[0], "uncovered_denominator": fraction[1]},
            tuple(_reason(refusal, map(self._grant, refusal.grant_ids)) for refusal in reasons),
        )

    def _history(self, key: LineKey) -> Iterable[Node]:
        """Say what was entered and what is owed for a line."""
        for obligation in self._record.obligations.get(key, ()):
            revisions = [r for r in self._sources.revisions_of(key) if r.key == obligation.key]
            yield Node(
                self._owed(obligation),
                {
                    "period_start": obligation.key.period_start,
                    "channel": obligation.key.channel,
                    "currency": obligation.key.currency,
                    "total_minor": obligation.total_minor,
                    "open": obligation.is_open,
                    "revision": obligation.revision,
                },
                tuple(map(self._revision, revisions)),
            )
        yield from map(self._entry, self._sources.moves_of(key))

    def _owed(self, obligation: Obligation) -> str:
        key = obligation.key
        owed = _amount(key, obligation.total_minor)
        state = "owed" if obligation.is_open else "taken back"
        return f"Overage by {key.channel} in the period from {key.period_start}: {owed} {state}"

    def _revision(self, revised: Revised) -> Node:
        change, total = (
            _amount(revised.key, m) for m in (revised.change_minor, revised.total_minor)
        )
        return Node(
            f"Revision {revised.revision} ({revised.status}): {change}, {total} in all",
            {
                "revision": revised.revision,
                "status": revised.status,
                "change_minor": revised.change_minor,
                "total_minor": revised.total_minor,
            },
            self._cause(revised.fact_no),
        )

    def _entry(self, moved: Moved) -> Node:
        entry = moved.entry
        unit = self._unit_of(entry.grant_id)
        quantity = quantity_text(entry.quantity, unit, self._book)
        return Node(
            f"Entry {moved.entry_no}: {quantity} of {entry.grant_id} "
            f"from {entry.source} to {entry.target}",
            {
                "entry": moved.entry_no,
                "grant_id": entry.grant_id,
                "from": entry.source,
                "to": entry.target,
                "quantity": self._decimal(entry.quantity, unit),
            },
            self._cause(moved.fact_no),
        )

    def _unit_of(self, grant_id: str) -> str:
        """Find the unit of a grant, which may be no more if it was a period's."""
        held = self._record.grants.get(grant_id)
        return unit_of(grant_id, self._record.standing) if held is None else held.grant.unit

    def _cause(self, fact_no: int) -> tuple[Node, ...]:
        told = self._sources.fact(fact_no)
        return () if told is None else (self._fact(told),)

    def _fact(self, told: Told) -> Node:
        """Name an event: what it was, when, whose, and where it came from."""
        data = told.data
        revision = f" revision {data['revision']}" if "revision" in data else ""
        actor = data.get("actor") or (data.get("correction") or {}).get("actor")
        reason = data.get("reason") or (data.get("correction") or {}).get("reason")
        by = "" if actor is None else f" by {actor}" + (f" ({reason})" if reason else "")
        answer = "" if told.answer is None else f", {told.answer}"
        return Node(
            f"Fact {told.fact_no}: {told.type}{revision}{by}{answer}, "
            f"{instant_text(told.occurred_at, self._zone)}, event {told.event_id} of {told.source}",
            {
                "fact": told.fact_no,
                "type": told.type,
                "source": told.source,
                "id": told.event_id,
                "occurred_at": told.occurred_at,
                "recorded_at": told.recorded_at,
                "answer": told.answer,
            },
            tuple(map(_shortfall, self._sources.shortfalls_of(told.fact_no))),
        )


def _shortfall(shortfall: Shortfall) -> Node:
    """Name a line for which a revision was declined, and why it would have been short."""
    line = f"line {shortfall.line_no} of booking {shortfall.booking_id}"
    missing = " or ".join(f"{quantity} {unit}" for unit, quantity in shortfall.uncovered.items())
    return Node(
        f"It would have left {line} short of {missing}",
        {
            "booking_id": shortfall.booking_id,
            "line": shortfall.line_no,
            "uncovered": shortfall.uncovered,
        },
        tuple(map(_reason, shortfall.reasons)),
    )


def _reason(refusal: Refusal, because: Iterable[Node] = ()) -> Node:
    return Node(
        f"{refusal.reason}: {', '.join(refusal.grant_ids) or 'there is none'}",
        {"reason": refusal.reason, "grants": refusal.grant_ids},
        tuple(because),
    )


def _amount(key: ObligationKey, minor: int) -> str:
    return "no price" if key.currency is None else money_text(minor, key.currency)
