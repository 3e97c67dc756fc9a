"""Living: an account whose facts are told one after the other while time passes; what it posts."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import (
    BalanceChanged,
    CoverageDecided,
    CreditsExpiring,
    OverageDetected,
    PeriodStatement,
)
from booking_credits.ledger.buckets import Bucket
from booking_credits.ledger.due import due_instants
from booking_credits.ledger.entries import Entry
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.settlement import settle
from builders import ACCOUNT, at, time_passed

# A fact, told as it occurs or, after a pair's instant, late.
Told: TypeAlias = Fact | tuple[str, Fact]
# Grant, from which bucket, into which, how much, and whose line took or gave it.
EntryRow: TypeAlias = tuple[str, Bucket, Bucket, int, str | None]
EventRow: TypeAlias = tuple[str | int, ...]


def live(book: PolicyBook, told: Iterable[Told], until: datetime) -> AccountRecord:
    """Settle each fact as it is told, and whatever is due at its own instant, until one passed."""
    record = AccountRecord(ACCOUNT, book)
    due: set[datetime] = set()

    def settle_one(fact: Fact) -> None:
        if admit(record.facts_of(fact.subject), fact) != "accepted":
            return
        outcome = settle(record, fact)
        due.update(due_instants(record, outcome))
        record.accept(outcome)

    def pass_time(until: datetime) -> None:
        while due and min(due) <= until:
            instant = min(due)
            due.remove(instant)
            if record.present is None or record.present < instant:
                settle_one(time_passed(instant))

    for item in told:
        learned, fact = (at(item[0]), item[1]) if isinstance(item, tuple) else (None, item)
        pass_time(learned or fact.occurred_at)
        settle_one(fact)
    pass_time(until)
    return record


def posted(record: AccountRecord) -> list[tuple[datetime, list[EntryRow]]]:
    """List what each fact posted that posted anything, with the instant at which it counts."""
    outcomes = record.postings.outcomes
    return [(o.fact.occurred_at, entries_of(o)) for o in outcomes if o.entries]


def entries_of(outcome: Outcome) -> list[EntryRow]:
    return [_entry_row(entry) for _, entry in outcome.entries]


def _entry_row(entry: Entry) -> EntryRow:
    booking_id = None if entry.line_key is None else entry.line_key[0]
    return entry.grant_id, entry.source, entry.target, entry.quantity, booking_id


def events_of(outcome: Outcome) -> list[EventRow]:
    """Say what was told: a unit, a change of what is owed, how many lines are short."""
    told: list[EventRow] = []
    for announcement in outcome.announcements:
        match announcement.content:
            case BalanceChanged() as changed:
                told.append(("balance", changed.unit))
            case OverageDetected() as overage:
                booking_id = overage.obligation.key.booking_id
                told.append((overage.status, booking_id, overage.change_minor))
            case CoverageDecided() as decided:
                short = sum(line.charge.short for line in decided.lines)
                told.append(("decided", decided.booking_id, short))
            case CreditsExpiring() as expiring:
                told.append(("expiring", expiring.grant_id, expiring.quantity))
            case PeriodStatement() as statement:
                told.append(("closed", statement.start_date.isoformat()))
    return told
