"""Simulation: accounts in memory, to which events happen as they would to the service.

Facts are admitted, settled and rendered by the code that posts them, and the clock posts what is
due for the instant at which it was due. Only what the database's directories do (an event id is
posted once, a booking belongs to one account) is done here in dictionaries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from booking_credits.clock.clock import close, tick
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.calendars import EVER
from booking_credits.ledger.closing import closing_of
from booking_credits.ledger.due import due_instants
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    BookingStarted,
    PeriodClosed,
)
from booking_credits.ledger.settlement import settle
from booking_credits.outbox.rendering import render
from booking_credits.posting.batch import CLOCK_SOURCE
from booking_credits.simulation.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from booking_credits.ledger.closing import Closing
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.posting.batch import Arrival
    from booking_credits.posting.part import EventKey
    from booking_credits.posting.post import Rendered


@dataclass(frozen=True, slots=True)
class Published:
    """An event that would be published about an account, and when its cause was recorded."""

    account_id: str
    recorded_at: datetime
    rendered: Rendered


class _What(IntEnum):
    """What the clock does."""

    INSTANT = 0
    CLOSING = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an arrival would have become a dead letter."""

    reason: str
    detail: str


class Simulation:
    """The service in memory; `now` is the latest instant that it was told of.

    `records` and `journals` are the accounts', and what happened in them, by the account's id.
    """

    def __init__(self, book: PolicyBook) -> None:
        """Begin with no accounts, at the beginning of time."""
        self.now = EVER
        self.duplicates = 0
        self._book = book
        self.records: dict[str, AccountRecord] = {}
        self.journals: dict[str, Journal] = {}
        self._hashes: dict[EventKey, bytes] = {}
        self._owners: dict[str, str] = {}
        self._closings: dict[str, Closing] = {}
        # At one instant what is due comes before the period is closed.
        self._due: list[tuple[datetime, _What, str]] = []

    def arrive(self, arrival: Arrival, at: datetime) -> Iterator[Published | Refused]:
        """Let an event arrive at an instant; where that has passed already, it arrives now."""
        yield from self.pass_time(at)
        yield from self._register(replace(arrival, recorded_at=self.now))
        yield from self.pass_time(self.now)

    def pass_time(self, until: datetime) -> Iterator[Published | Refused]:
        """Post what becomes due up to an instant, in order."""
        until = max(until, self.now)
        while self._due and self._due[0][0] <= until:
            due_at, what, account_id = heappop(self._due)
            self.now = max(self.now, due_at)
            if what is _What.INSTANT:
                yield from self._post(tick(account_id, due_at, self.now))
            elif self._closings[account_id].closes_at == due_at:
                yield from self._post(close(account_id, self._closings[account_id], self.now))
        self.now = until

    def _register(self, arrival: Arrival) -> Iterator[Published | Refused]:
        """Post an event that is news and that the directories have nothing against."""
        fact, key = arrival.fact, (arrival.source, arrival.event_id)
        digest = self._hashes.get(key)
        if digest == arrival.payload_hash:
            self.duplicates += 1
            return
        if digest is not None:
            detail = "an event of this source and id was posted with other content"
            yield Refused("event_conflict", detail)
            return
        if isinstance(fact, BookingRevised | BookingStarted):
            owner = self._owners.setdefault(fact.booking_id, arrival.account_id)
            if owner != arrival.account_id:
                yield Refused("other_account", "the booking is another account's")
                return
        told = self._post(arrival)
        if not any(isinstance(what, Refused) for what in told):
            self._hashes[key] = arrival.payload_hash
        yield from told

    def _post(self, arrival: Arrival) -> list[Published | Refused]:
        """Settle a fact that is news; whatever it breaks is its own and leaves no trace."""
        account_id, fact = arrival.account_id, arrival.fact
        record = self.records.setdefault(account_id, AccountRecord(account_id, self._book))
        admission = admit(record.facts_of(fact.subject), fact)
        if admission == "duplicate":
            self.duplicates += arrival.source != CLOCK_SOURCE
            return []
        if admission != "accepted":
            return [Refused(admission, f"{fact.subject} is on record with other content")]
        try:
            outcome = settle(record, fact)
            rendered = render(arrival, outcome, record.grants)
        except Exception as error:  # noqa: BLE001 - as in posting, it must not be its neighbours'
            return [Refused("unpostable", type(error).__name__)]
        for due_at in due_instants(record, outcome):
            heappush(self._due, (due_at, _What.INSTANT, account_id))
        self._note_closing(account_id, outcome)
        self.journals.setdefault(account_id, Journal()).note(arrival, outcome)
        record.accept(outcome)
        return [Published(account_id, arrival.recorded_at, part) for part in rendered]

    def _note_closing(self, account_id: str, outcome: Outcome) -> None:
        """Note which period is closed next, where that is news.

        All that there is has been read, so nothing postpones it.
        """
        fact, known = outcome.fact, self._closings.get(account_id)
        if isinstance(fact, PeriodClosed):
            open_from = fact.ends_at
        elif known is None:
            open_from = outcome.timeline.period_at(self.now).start
        elif isinstance(fact, AccountDescribed):
            open_from = known.open_from
        else:
            return
        is_first = outcome.numbers.last_of("period-closed") == 0
        closing = closing_of(outcome.timeline, open_from, is_first=is_first)
        self._closings[account_id] = closing
        heappush(self._due, (closing.closes_at, _What.CLOSING, account_id))
