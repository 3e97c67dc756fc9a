"""Settlement: one fact against the record, giving everything that it changes.

Whatever a fact is (a booking made, moved or cancelled, a start, a late renewal, an instant that
passed), it changes lines, grants or the present; the walk covers anew what that touches and the
difference to the record becomes entries. A quote is the same with the outcome thrown away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from booking_credits.ledger.announcements import (
    PLACES,
    Announcement,
    BalanceChanged,
    Content,
    CoverageDecided,
    DecidedLine,
    OverageDetected,
    RequestRejected,
)
from booking_credits.ledger.answers import lines_left_short, lines_using
from booking_credits.ledger.bookings import standing_lines
from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.calendars import Timeline
from booking_credits.ledger.closing import lines_to_close
from booking_credits.ledger.entries import difference
from booking_credits.ledger.facts import (
    ANSWERED_FACTS,
    BOOKING_FACTS,
    GRANT_FACTS,
    AccountDescribed,
    BookingRevised,
    GrantRemoved,
    PeriodClosed,
    PlanRenewed,
    TimePassed,
)
from booking_credits.ledger.grants import grants_of, ids_of
from booking_credits.ledger.issuance import begun_by, follow_lines, replaced_by
from booking_credits.ledger.notices import expiring, furthest_end
from booking_credits.ledger.obligations import revise_obligations
from booking_credits.ledger.outcomes import Numbers, Outcome
from booking_credits.ledger.reasons import refusals
from booking_credits.ledger.remnants import remnants, remnants_not_known, remnants_on_record
from booking_credits.ledger.standing import (
    grants_in_being,
    is_standing,
    opening_grants,
    standing_grants,
)
from booking_credits.ledger.statements import statement
from booking_credits.ledger.subjects import ACCOUNT_SUBJECT
from booking_credits.ledger.walk import Change, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.announcements import Obligation
    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.entries import Entry, GrantRecord
    from booking_credits.ledger.facts import BookingFact, Fact, GrantFact
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.reasons import Refusal


def settle(record: AccountRecord, fact: Fact, *, is_answered: bool = False) -> Outcome:
    """Return what a fact changes that is news; the record stays as it is.

    The fact in the outcome carries its answer, which is given here unless it has been before; a
    closing lists in it the lines that it closes.
    Raises `NotLoaded` where the record does not reach far enough.
    """
    if isinstance(fact, PeriodClosed) and fact.lines is None:
        return _settle(record, replace(fact, lines=lines_to_close(record, fact)))
    # Who cancels asks for no credits, whatever that leaves short.
    asks_nothing = is_answered or (isinstance(fact, BookingRevised) and not fact.lines)
    if not isinstance(fact, ANSWERED_FACTS) or (asks_nothing and fact.answer is None):
        return _settle(record, fact)
    if isinstance(fact, GrantRemoved):
        in_the_way = lines_using(record, fact)
        if not in_the_way and fact.answer is None:
            return _settle(record, fact)
        refused = RequestRejected("grant_removal", "grant_in_use", fact.grant_id, in_the_way)
        return _settle(record, replace(fact, answer="refused"), rejected=(refused,))
    asked = _settle(record, replace(fact, answer=None) if fact.answer else fact)
    left_short = lines_left_short(record, asked, fact.booking_id)
    if not left_short and fact.answer is None:
        return asked
    return _settle(record, replace(fact, answer="declined"), left_short)


def _settle(
    record: AccountRecord,
    fact: Fact,
    left_short: tuple[DecidedLine, ...] = (),
    rejected: tuple[RequestRejected, ...] = (),
) -> Outcome:
    """Settle a fact as it has been answered."""
    change = _change(record, fact)
    charges, touched = walk(record, change)
    grants = {i: change.grants.get(i) or record.grants[i].grant for i in touched}
    entries, grant_records = difference(
        (record.charges, charges), record.grants, grants, (record.present, change.present)
    )
    numbered = tuple(enumerate(entries, record.numbers.entry + 1))
    balances = _balance_changes(record, numbered, grant_records)
    obligations, revised = revise_obligations(
        record.obligations, charges, change.timeline, change.present
    )
    reading = _Reading(record, change, charges)
    contents: list[Content] = [
        *balances,
        *(OverageDetected(o, status, by, reading.refusals_of(o)) for o, status, by in revised),
        *reading.decisions(fact, left_short),
        *rejected,
        *expiring(record, fact, grant_records),
    ]
    if isinstance(fact, PeriodClosed):
        contents.append(statement(record, fact, obligations, contents))
    announcements, numbers = _number(record.numbers, len(entries), contents)
    return Outcome(
        fact,
        max(fact.occurred_at, record.closed_through or fact.occurred_at),
        numbers,
        change.timeline,
        change.present,
        numbered,
        {key: charge for key, charge in charges.items() if charge != record.charges.get(key)},
        _written(record, entries, grant_records),
        obligations,
        {changed.unit: changed.after for changed in balances},
        announcements,
        change.gone,
        _next_start(change, fact),
    )


def _change(record: AccountRecord, fact: Fact) -> Change:
    """Say what a fact changes before coverage is looked at."""
    timeline, present, standing = record.timeline, record.present, record.standing
    if isinstance(fact, BOOKING_FACTS):
        lines = _revised_lines(record, fact)
        brought, emptied = follow_lines(record, lines)
        left, gone = _taken_back(record, emptied, brought)
        return Change(timeline, present, standing, lines, brought | left, gone, told=fact)
    of_standing = is_standing(fact) or fact.subject in (ACCOUNT_SUBJECT, *record.monthly)
    if isinstance(fact, AccountDescribed) or of_standing:
        return _read_anew(record, fact)
    if isinstance(fact, TimePassed):
        last_end = furthest_end(fact.occurred_at, timeline)
        due, ended = record.due_by(fact.occurred_at, last_end)
        lines = {key: record.charges[key].standing for key in due}
        grants = {grant_id: record.grants[grant_id].grant for grant_id in ended}
        grants |= begun_by(record, fact.occurred_at)
        return Change(timeline, fact.occurred_at, standing, lines, grants)
    if isinstance(fact, PeriodClosed):
        closed = {line.key: line for line in fact.lines or ()}
        unknown = remnants_not_known(record, closed.values())
        return Change(timeline, present, standing, {}, unknown, closed=closed)
    grants = _named_grants(record, fact)
    replaced = replaced_by(record, fact, grants) if isinstance(fact, PlanRenewed) else ()
    left, gone = _taken_back(record, replaced, grants)
    return Change(timeline, present, standing, {}, grants | left, gone)


def _taken_back(
    record: AccountRecord, grant_ids: Collection[str], brought: Mapping[str, Grant]
) -> tuple[dict[str, Grant], frozenset[str]]:
    """Let grants that are no more be pending, so that they give back all there is of them.

    Those from which closed lines took, and which nothing replaces, are not gone altogether.
    """
    if not grant_ids:
        return {}, frozenset()
    left = remnants_on_record(record, grant_ids, brought)
    back = {i: _pending(record, i) for i in grant_ids if i not in left}
    return left | back, frozenset(back)


def _pending(record: AccountRecord, grant_id: str) -> Grant:
    return replace(record.grants[grant_id].grant, pending=True)


def _next_start(change: Change, fact: Fact) -> datetime | None:
    """Find when the clock brings the account's next grant; no booking changes that."""
    if isinstance(fact, BOOKING_FACTS):
        return None
    starts = (rule.next_start(change.present) for rule in change.standing)
    return min((start for start in starts if start is not None), default=None)


def _named_grants(record: AccountRecord, fact: GrantFact) -> dict[str, Grant]:
    """Read the grants that a fact names, together with what is known of them."""
    known = (f for f in record.facts_of(fact.subject) if isinstance(f, GRANT_FACTS))
    grants = grants_of((*known, fact), record.timeline)
    return {grant_id: grants[grant_id] for grant_id in ids_of(fact) if grant_id in grants}


def _revised_lines(record: AccountRecord, fact: BookingFact) -> dict[LineKey, StandingLine | None]:
    """Fold a booking's facts anew; only lines that stand otherwise than on record count."""
    known = (f for f in record.facts_of(fact.subject) if isinstance(f, BOOKING_FACTS))
    booking_id = fact.booking_id
    standing = {(booking_id, no): line for no, line in standing_lines((*known, fact)).items()}
    if booking_id not in record.lines:
        return dict(standing)
    keys = {*record.lines[booking_id], *standing}
    return {
        key: standing.get(key)
        for key in sorted(keys)
        if key not in record.charges or record.charges[key].standing != standing.get(key)
    }


def _read_anew(record: AccountRecord, fact: Fact) -> Change:
    """Read the whole account anew, under changed terms or with another standing grant."""
    record.require_all()
    timeline, lines = record.timeline, {}
    facts = [*(known for of_subject in record.facts.values() for known in of_subject), fact]
    if isinstance(fact, AccountDescribed):
        timeline = Timeline((f for f in facts if isinstance(f, AccountDescribed)), record.book)
        lines = {key: charge.standing for key, charge in record.charges.items()}
    grants: dict[str, Grant] = {}
    for of_subject in record.facts.values():
        grants.update(grants_of((f for f in of_subject if isinstance(f, GRANT_FACTS)), timeline))
    grants |= opening_grants(facts, timeline)
    standing = standing_grants(facts, timeline)
    starts = sorted({charge.line.starts_at for charge in record.charges.values()})
    grants |= grants_in_being(standing, grants, record.present, starts)
    takes = (take for of_grant in record.closed_takes.values() for take in of_grant.values())
    grants |= remnants(takes, grants.get, standing)
    gone = frozenset(record.grants.keys() - grants.keys())
    grants |= {grant_id: _pending(record, grant_id) for grant_id in gone}
    return Change(timeline, record.present, standing, lines, grants, gone)


def _written(
    record: AccountRecord, entries: Iterable[Entry], grants: Mapping[str, GrantRecord]
) -> dict[str, GrantRecord]:
    """Leave out the grants that a walk passed without changing anything about them."""
    ids = {entry.grant_id for entry in entries}
    return {i: g for i, g in grants.items() if i in ids or g != record.grants.get(i)}


def _balance_changes(
    record: AccountRecord,
    numbered: tuple[tuple[int, Entry], ...],
    grants: Mapping[str, GrantRecord],
) -> list[BalanceChanged]:
    """Sum the entries by unit."""
    by_unit: dict[str, list[tuple[int, Entry]]] = {}
    for number, entry in numbered:
        by_unit.setdefault(grants[entry.grant_id].grant.unit, []).append((number, entry))
    changes: list[BalanceChanged] = []
    for unit, entries in sorted(by_unit.items()):
        before = record.balances.get(unit, Buckets())
        after = before.after((e.source, e.target, e.quantity) for _, e in entries)
        changes.append(BalanceChanged(unit, before, after, tuple(entries)))
    return changes


def _number(
    numbers: Numbers, entries: int, contents: list[Content]
) -> tuple[tuple[Announcement, ...], Numbers]:
    """Give each announcement its place in the account's sequence and in that of its kind."""
    last = list(numbers.last)
    announcements: list[Announcement] = []
    for sequence, content in enumerate(contents, numbers.sequence + 1):
        place = PLACES[content.kind]
        announcements.append(Announcement(sequence, last[place], content))
        last[place] = sequence
    after = Numbers(
        numbers.fact + 1,
        numbers.entry + entries,
        numbers.sequence + len(contents),
        tuple(last),
    )
    return tuple(announcements), after


class _Reading:
    """The account as it reads after a change, for saying what was decided and why."""

    def __init__(
        self, record: AccountRecord, change: Change, charges: Mapping[LineKey, Charge | None]
    ) -> None:
        self._record = record
        self._change = change
        self._charges = charges
        self._keys: dict[str, list[LineKey]] = {}
        for key in charges:
            self._keys.setdefault(key[0], []).append(key)

    def refusals_of(self, obligation: Obligation) -> tuple[Refusal, ...]:
        """Give the reasons of an obligation that is owed."""
        charge = self._charges.get((obligation.key.booking_id, obligation.key.line_no))
        return self._refusals(charge) if charge is not None and obligation.is_open else ()

    def decisions(self, fact: Fact, left_short: tuple[DecidedLine, ...]) -> list[CoverageDecided]:
        """Decide the booking that a revision asks about and those whose coverage is another."""
        if isinstance(fact, BookingRevised) and fact.answer is not None:
            lines = self._decided_lines(fact.booking_id)
            return [CoverageDecided(fact.booking_id, fact.revision, lines, True, left_short)]
        decided = {key[0] for key in self._charges if self._is_decided_anew(key)}
        latest: dict[str, int] = {}
        if isinstance(fact, BookingRevised):
            decided.add(fact.booking_id)
            known = self._record.facts_of(fact.subject)
            earlier = [
                f.revision for f in known if isinstance(f, BookingRevised) and f.answer is None
            ]
            latest[fact.booking_id] = max(fact.revision, *earlier, 0)
        return [self._decision(booking_id, latest) for booking_id in sorted(decided)]

    def _is_decided_anew(self, key: LineKey) -> bool:
        before, after = self._record.charges.get(key), self._charges[key]
        if before is None or after is None:
            return before is not after
        return (before.line, before.eligible, before.coverage) != (
            after.line,
            after.eligible,
            after.coverage,
        )

    def _decision(self, booking_id: str, latest: Mapping[str, int]) -> CoverageDecided:
        lines = self._decided_lines(booking_id)
        standing = (line.charge.standing.revision for line in lines)
        return CoverageDecided(booking_id, latest.get(booking_id) or max(standing), lines)

    def _decided_lines(self, booking_id: str) -> tuple[DecidedLine, ...]:
        keys = {*self._record.lines.get(booking_id, ()), *self._keys.get(booking_id, ())}
        after = (self._charges.get(k, self._record.charges.get(k)) for k in sorted(keys))
        return tuple(DecidedLine(c, self._refusals(c)) for c in after if c is not None)

    def _refusals(self, charge: Charge) -> tuple[Refusal, ...]:
        if not charge.short:
            return ()
        self._record.require_grants(charge.line.starts_at)
        return refusals(charge.standing, self._grants())

    def _grants(self) -> Iterable[Grant]:
        for grant_id, record in self._record.grants.items():
            if grant_id not in self._change.gone:
                yield self._change.grants.get(grant_id, record.grant)
        for grant_id, grant in self._change.grants.items():
            if grant_id not in self._record.grants:
                yield grant
