"""Tally: what a subscriber who remembers what it was told knows about every account."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from booking_credits_contracts import Balance, BalanceChanged, OverageDetected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits_contracts import PublishedData


class Tally:
    """The balance of each account and unit, and what each account owes in each currency."""

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self.balances: dict[tuple[str, str], Balance] = {}
        self.owed_minor: Counter[tuple[str, str]] = Counter()

    def add(self, published: Iterable[PublishedData]) -> None:
        """Take in events, in the order of each account."""
        for event in published:
            if isinstance(event, BalanceChanged):
                self.balances[event.account_id, event.unit] = event.after
            elif isinstance(event, OverageDetected) and event.currency is not None:
                self.owed_minor[event.account_id, event.currency] += event.change_minor or 0
