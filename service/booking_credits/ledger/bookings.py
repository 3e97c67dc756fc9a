"""Bookings: which lines stand, as a fold over a booking's revisions and starts.

Revisions are read in their order, whatever the order of arrival; a declined one is passed over. A
line that had started when a revision occurred can be neither moved, cheapened nor dropped by it,
unless it is a correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from booking_credits.ledger.facts import BookingRevised, BookingStarted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from booking_credits.ledger.facts import BookingFact, Fallback, Line


@dataclass(frozen=True, slots=True)
class StandingLine:
    """A charge: a line that stands.

    `booked_at` is when the booking was first made, `started_at` the booking-started that counts
    for the line as it stands, `revision` the booking's latest that was accepted.
    """

    booking_id: str
    revision: int
    booked_at: datetime
    line: Line
    fallback: Fallback | None
    started_at: datetime | None

    @property
    def key(self) -> tuple[str, int]:
        """Booking and line number."""
        return self.booking_id, self.line.line_no


@dataclass(frozen=True, slots=True)
class _Held:
    """A line in the fold: since when it stands at its place, and how it is paid otherwise."""

    line: Line
    fallback: Fallback | None
    since: datetime


def standing_lines(facts: Iterable[BookingFact]) -> dict[int, StandingLine]:
    """Return the lines that stand, by line number."""
    revisions, starts = _sort(facts)
    if not revisions:
        return {}
    held: dict[int, _Held] = {}
    for revision in revisions:
        held = _revise(held, revision, starts)
    booked = [revision.booked_at for revision in revisions if revision.booked_at is not None]
    latest = revisions[-1]
    return {
        number: StandingLine(
            latest.booking_id,
            latest.revision,
            min(booked),
            standing.line,
            standing.fallback,
            _started_at(standing, starts),
        )
        for number, standing in sorted(held.items())
    }


def lines_since(facts: Iterable[BookingFact], revision: int, line_no: int) -> list[Line | None]:
    """Return a line as it stood at a revision and after each later one; None: it did not."""
    revisions, starts = _sort(facts)
    held: dict[int, _Held] = {}
    lines: list[Line | None] = []
    for told in revisions:
        held = _revise(held, told, starts)
        if told.revision <= revision:
            lines.clear()
        lines.append(held[line_no].line if line_no in held else None)
    return lines


def _sort(facts: Iterable[BookingFact]) -> tuple[list[BookingRevised], list[BookingStarted]]:
    revisions: list[BookingRevised] = []
    starts: list[BookingStarted] = []
    for fact in facts:
        if isinstance(fact, BookingStarted):
            starts.append(fact)
        elif fact.answer is None:
            revisions.append(fact)
    revisions.sort(key=lambda revision: revision.revision)
    return revisions, starts


def _revise(
    held: dict[int, _Held], revision: BookingRevised, starts: list[BookingStarted]
) -> dict[int, _Held]:
    """Replace the state by the revision's, except for the lines that it cannot touch."""
    if not held:
        since = revision.occurred_at
        return {line.line_no: _Held(line, revision.fallback, since) for line in revision.lines}
    asked = {line.line_no: line for line in revision.lines}
    revised: dict[int, _Held] = {}
    for number, before in held.items():
        after = asked.pop(number, None)
        if _is_fixed(before, revision, starts) and _takes_away(before.line, after):
            revised[number] = before
        elif after is not None:
            since = revision.occurred_at if _relocates(before.line, after) else before.since
            revised[number] = _Held(after, revision.fallback, since)
    for number, line in asked.items():
        revised[number] = _Held(line, revision.fallback, revision.occurred_at)
    return revised


def _is_fixed(held: _Held, revision: BookingRevised, starts: list[BookingStarted]) -> bool:
    """Say whether the line had started when the revision occurred and stays as it was."""
    if revision.correction is not None:
        return False
    started_at = _started_at(held, starts)
    begins = held.line.starts_at if started_at is None else min(held.line.starts_at, started_at)
    return revision.occurred_at >= begins


def _started_at(held: _Held, starts: list[BookingStarted]) -> datetime | None:
    """Find the first start of the line since it stands at its place."""
    if not starts:
        return None
    return min(
        (
            start.occurred_at
            for start in starts
            if start.line_no in (None, held.line.line_no) and start.occurred_at >= held.since
        ),
        default=None,
    )


def _takes_away(before: Line, after: Line | None) -> bool:
    """Say whether going from one line to the other drops, moves or cheapens it."""
    return after is None or _relocates(before, after) or _cheapens(before, after)


def _relocates(before: Line, after: Line) -> bool:
    return (before.starts_at, before.ends_at, before.resource, before.location) != (
        after.starts_at,
        after.ends_at,
        after.resource,
        after.location,
    )


def _cheapens(before: Line, after: Line) -> bool:
    """Credits may never pay another product group, so a change of it counts as cheapening."""
    costs = dict(after.costs)
    return (
        any(costs.get(unit, -1) < cost for unit, cost in before.costs)
        or _lowers_price(before, after)
        or (before.payable_by_credits and not after.payable_by_credits)
        or (not before.discounted and after.discounted)
        or (not before.online_plan and after.online_plan)
        or before.product_group != after.product_group
    )


def _lowers_price(before: Line, after: Line) -> bool:
    """A price in another currency cannot be compared, so it counts as a lower one."""
    if before.price is None:
        return False
    return (
        after.price is None
        or after.price.currency != before.price.currency
        or after.price.amount_minor < before.price.amount_minor
    )
