"""Kept records: what was read of accounts, kept from one batch for the next.

Whatever changes an account gives it a fact with a number of its own. So a record whose numbers are
those in the account's row says what would be read again, and more of it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from booking_credits.ledger.postings import Postings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.outcomes import Numbers

# Up to 3 KB each.
VALUES_KEPT = 60_000
# What is kept of an account is gone through now and then.
_VALUES_OF_ACCOUNT = 10_000


class KeptRecords:
    """The records of accounts that were posted to last, as their transactions left them."""

    def __init__(self, values_kept: int) -> None:
        """Keep records of so many facts, charges and grants in all."""
        self._values_kept = values_kept
        self._values = 0
        self._records: OrderedDict[str, tuple[AccountRecord, int]] = OrderedDict()

    def take(self, account_id: str, numbers: Numbers) -> AccountRecord | None:
        """Hand out the record of an account whose row has these numbers; it is kept no more."""
        record, values = self._records.pop(account_id, (None, 0))
        self._values -= values
        return record if record is not None and record.numbers == numbers else None

    def keep(self, records: Iterable[AccountRecord]) -> None:
        """Keep records whose transaction has been committed, those unused for longest no more."""
        for record in records:
            self.forget(record.account_id)
            values = len(record.facts) + len(record.charges) + len(record.grants)
            if values <= _VALUES_OF_ACCOUNT:
                # Of what was posted only a statement asks, and by then the tables say it.
                record.postings = Postings(whole=record.postings.whole)
                self._records[record.account_id] = record, values
                self._values += values
        while self._values > self._values_kept:
            _, (_, values) = self._records.popitem(last=False)
            self._values -= values

    def forget(self, account_id: str) -> None:
        """Keep an account's record no more."""
        _, values = self._records.pop(account_id, (None, 0))
        self._values -= values
