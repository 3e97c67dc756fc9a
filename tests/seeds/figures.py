"""Figures: what people look at in an account, read off its record."""

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import Obligation
from booking_credits.ledger.charges import Fraction


def remaining(record: AccountRecord, unit: str) -> int:
    """Return what can still be booked with."""
    return record.balances[unit].available


def used(record: AccountRecord, unit: str) -> int:
    """Return what bookings take, whether they are over or not."""
    return record.balances[unit].held + record.balances[unit].drawn


def uncovered(record: AccountRecord, booking_id: str, line_no: int = 1) -> Fraction:
    """Return the fraction of a line that credits do not pay."""
    return record.charges[booking_id, line_no].coverage.uncovered


def owed(record: AccountRecord) -> list[Obligation]:
    """List what is owed in cash now."""
    return [o for held in record.obligations.values() for o in held if o.is_open]


def owed_minor(record: AccountRecord) -> int:
    """Sum up what is owed in cash now, in minor units."""
    return sum(obligation.total_minor for obligation in owed(record))
