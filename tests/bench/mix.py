"""Mix: what a workspace's systems send in four months, in its order, the same for the same seed.

Accounts differ in traffic by Zipf's law, and the first has a tenth of it all. Each renews its plan
or buys a pack every month, books rooms for the weeks to come, moves and cancels some of it, and
checks in. What is granted is about what is booked, so some bookings stay short. All of it lies far
ahead of the clock, so that an account's time never passes by itself while something is measured.
"""

import heapq
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any, Final, TypeAlias

from booking_credits_contracts import write_headers

Data: TypeAlias = dict[str, Any]
Header: TypeAlias = tuple[str, bytes]

SOURCE: Final = "bench/workspace"
OPENED_AT: Final = datetime(2039, 12, 1, tzinfo=UTC)
HISTORY_STARTS: Final = datetime(2040, 3, 1, tzinfo=UTC)
MIX_STARTS: Final = datetime(2040, 7, 1, tzinfo=UTC)
EVENTS_PER_ACCOUNT: Final = 25
HOT_SHARE: Final = 0.1

_SPAN: Final = timedelta(days=122)
_MONTHS: Final = 4
_SKEW: Final = 0.8
_ROOMS: Final = (("fishbowl", 15), ("oak", 20), ("aquarium", 35), ("loft", 50))
_POLICIES: Final = ("coins", "coins", "coins", "tenant-credits", "packs")
# What an account books in a month costs about this much for each event of it.
_COINS_PER_EVENT: Final = 32
_CREDITS_PER_EVENT: Final = 1.7


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account, as it is put on Kafka."""

    account_id: str
    event_id: str
    type: str
    occurred_at: datetime
    data: Data

    @property
    def key(self) -> bytes:
        return self.account_id.encode()

    @property
    def value(self) -> bytes:
        return json.dumps({"account_id": self.account_id, **self.data}).encode()

    @property
    def headers(self) -> list[Header]:
        return write_headers(
            id=self.event_id,
            source=SOURCE,
            type=self.type,
            time=self.occurred_at,
            subject=self.account_id,
        )


def account_ids(count: int) -> list[str]:
    """Name accounts; the first is the hot one."""
    return [f"account-{number:05}" for number in range(count)]


def make_openings(ids: Sequence[str]) -> list[Event]:
    """Open accounts, each by the policy of its number."""
    return [make_opening(account_id, policy_of(n)) for n, account_id in enumerate(ids)]


def make_opening(account_id: str, policy: str) -> Event:
    """Open an account in Berlin, billed by the calendar month."""
    said = {
        "from_date": OPENED_AT.date().isoformat(),
        "zone": "Europe/Berlin",
        "cycle": "month",
        "anchor_date": OPENED_AT.date().isoformat(),
        "on_account": True,
        "policy": policy,
    }
    return Event(account_id, f"{account_id}/opened", "account-opened", OPENED_AT, said)


def policy_of(number: int) -> str:
    """Say by which policy the account of a number lives."""
    return _POLICIES[number % len(_POLICIES)]


def make_mix(count: int, *, seed: int = 1) -> list[Event]:
    """Make a mix of many accounts, one for every `EVENTS_PER_ACCOUNT` events."""
    ids = account_ids(max(2, count // EVENTS_PER_ACCOUNT))
    others = [1 / rank**_SKEW for rank in range(1, len(ids))]
    hot = sum(others) * HOT_SHARE / (1 - HOT_SHARE)
    weights = [hot, *others]
    total = sum(weights)
    rng = Random(seed)  # noqa: S311 - chance that can be repeated is what is wanted
    accounts = [
        _Account(account_id, policy_of(number), count * weight / total / _MONTHS, rng)
        for number, (account_id, weight) in enumerate(zip(ids, weights, strict=True))
    ]
    turns = rng.choices(accounts, cum_weights=list(accumulate(weights)), k=count)
    return _play(turns, MIX_STARTS)


def make_single(
    account_id: str, policy: str, count: int, starts_at: datetime, *, seed: int = 1
) -> list[Event]:
    """Make the events of one account alone."""
    rng = Random(seed)  # noqa: S311 - chance that can be repeated is what is wanted
    return _play([_Account(account_id, policy, count / _MONTHS, rng)] * count, starts_at)


def _play(turns: "Sequence[_Account]", starts_at: datetime) -> list[Event]:
    step = _SPAN / len(turns)
    return [account.act(starts_at + number * step) for number, account in enumerate(turns)]


@dataclass(slots=True)
class _Booking:
    booking_id: str
    booked_at: datetime
    lines: list[Data]
    begins_at: datetime
    revision: int = 1
    stands: bool = True


@dataclass(slots=True)
class _Account:
    """An account's people and what they have booked."""

    account_id: str
    policy: str
    events_per_month: float
    rng: Random
    month: tuple[int, int] = (0, 0)
    events: int = 0
    booked: list[_Booking] = field(default_factory=list)
    upcoming: list[tuple[datetime, int, _Booking]] = field(default_factory=list)

    def act(self, now: datetime) -> Event:
        """Do the next thing at a time."""
        self.events += 1
        if self.month != (now.year, now.month):
            self.month = (now.year, now.month)
            return self._renew(now) if self.policy != "packs" else self._buy_pack(now)
        started = self._next_started(now)
        if started is not None:
            return self._check_in(started)
        return self._choose()(now)

    def _choose(self) -> Callable[[datetime], Event]:
        chance = self.rng.random()
        if chance < 0.003:
            return self._receive_goodwill
        if chance < 0.16 and self.booked:
            return self._cancel
        if chance < 0.34 and self.booked:
            return self._update
        return self._book

    def _renew(self, now: datetime) -> Event:
        first = now.date().replace(day=1).isoformat()
        unit, quantity = self._monthly()
        allotments: list[Data] = [{"plan_line": "base", "unit": unit, "quantity": str(quantity)}]
        if self.policy == "coins":
            hours: Data = {"plan_line": "loft-hours", "unit": "minute", "quantity": "300"}
            allotments.append({**hours, "scope": {"resources": ["loft"]}, "priority": 50})
        said = {"plan": "team", "period_start": first, "allotments": allotments}
        return self._event("billing-plan-renewed", now, said)

    def _buy_pack(self, now: datetime) -> Event:
        unit, quantity = self._monthly()
        return self._grant(now, unit, quantity, days=90, paid=True, reason="pack of credits")

    def _receive_goodwill(self, now: datetime) -> Event:
        unit, quantity = self._monthly()
        few = max(1, quantity // 50)
        return self._grant(now, unit, few, days=60, paid=False, reason="goodwill")

    def _grant(
        self, now: datetime, unit: str, quantity: int, *, days: int, paid: bool, reason: str
    ) -> Event:
        said = {
            "grant_id": f"{self.account_id}-grant-{now:%y%m%d}-{self.events}",
            "unit": unit,
            "quantity": str(quantity),
            "valid_from": now.isoformat(),
            "valid_to": (now + timedelta(days=days)).isoformat(),
            "paid": paid,
            "actor": "dora",
            "reason": reason,
        }
        return self._event("credits-granted", now, said)

    def _monthly(self) -> tuple[str, int]:
        """Say in which unit the account is granted about what it books in a month."""
        unit = "coin" if self.policy == "coins" else "credit"
        each = _COINS_PER_EVENT if unit == "coin" else _CREDITS_PER_EVENT
        return unit, max(4, round(self.events_per_month * each * self.rng.uniform(0.8, 1.3)))

    def _book(self, now: datetime) -> Event:
        lead = timedelta(hours=1 + min(700, int(self.rng.expovariate(1 / 120))))
        starts_at = now.replace(minute=0, second=0, microsecond=0) + lead
        weeks = 1 if self.rng.random() < 0.8 else self.rng.randint(2, 4)
        room = self.rng.randrange(len(_ROOMS))
        hours = self.rng.randint(1, 3)
        lines = [
            _line(number + 1, room, hours, starts_at + timedelta(weeks=number))
            for number in range(weeks)
        ]
        booking_id = f"{self.account_id}-booking-{now:%y%m%d}-{self.events}"
        booking = _Booking(booking_id, now, lines, starts_at)
        self._expect(booking)
        return self._revision("booking-created", now, booking)

    def _update(self, now: datetime) -> Event:
        """Move a booking to another hour, or make it longer or shorter."""
        booking = self._take()
        moved = timedelta(hours=self.rng.randint(0, 8))
        room, hours = self.rng.randrange(len(_ROOMS)), self.rng.randint(1, 3)
        starts = [datetime.fromisoformat(line["starts_at"]) + moved for line in booking.lines]
        lines = [_line(n, room, hours, starts_at) for n, starts_at in enumerate(starts, 1)]
        revised = _Booking(
            booking.booking_id, booking.booked_at, lines, starts[0], booking.revision + 1
        )
        self._expect(revised)
        return self._revision("booking-updated", now, revised)

    def _cancel(self, now: datetime) -> Event:
        booking = self._take()
        said = {"booking_id": booking.booking_id, "revision": booking.revision + 1}
        return self._event("booking-cancelled", now, said)

    def _check_in(self, booking: _Booking) -> Event:
        said = {"booking_id": booking.booking_id, "line": 1}
        return self._event("booking-started", booking.begins_at - timedelta(minutes=5), said)

    def _expect(self, booking: _Booking) -> None:
        self.booked.append(booking)
        heapq.heappush(self.upcoming, (booking.begins_at, self.events, booking))

    def _take(self) -> _Booking:
        """Take one of the bookings that have not begun."""
        place = self.rng.randrange(len(self.booked))
        self.booked[place], self.booked[-1] = self.booked[-1], self.booked[place]
        booking = self.booked.pop()
        booking.stands = False
        return booking

    def _next_started(self, now: datetime) -> _Booking | None:
        """Find a booking that has begun and that someone checks in to; many never do."""
        while self.upcoming and self.upcoming[0][0] <= now:
            _, _, booking = heapq.heappop(self.upcoming)
            if booking.stands:
                self.booked = [other for other in self.booked if other is not booking]
                if self.rng.random() < 0.4:
                    return booking
        return None

    def _revision(self, kind: str, now: datetime, booking: _Booking) -> Event:
        said = {
            "booking_id": booking.booking_id,
            "revision": booking.revision,
            "booked_at": booking.booked_at.isoformat(),
            "lines": booking.lines,
        }
        return self._event(kind, now, said)

    def _event(self, kind: str, occurred_at: datetime, said: Data) -> Event:
        event_id = f"{self.account_id}/{occurred_at:%y%m%d}/{self.events}"
        return Event(self.account_id, event_id, kind, occurred_at, said)


def _line(number: int, room: int, hours: int, starts_at: datetime) -> Data:
    name, euros = _ROOMS[room]
    costs = {"coin": euros * hours, "credit": hours}
    if name == "loft":
        costs["minute"] = 60 * hours
    return {
        "line": number,
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(hours=hours)).isoformat(),
        "resource": name,
        "product_group": "rooms",
        "costs": {unit: str(cost) for unit, cost in costs.items()},
        "price": {"amount_minor": euros * hours * 100, "currency": "EUR"},
    }
