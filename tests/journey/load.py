"""Load: what a few dozen accounts and their systems send in a season, the same for the same seed.

Every account opens, renews its plan, is given credits, books rooms, moves, cancels and starts some
of it. Each event is on its way for a while, some for days, and one in twelve comes twice. For two
accounts of three the season is long over, so that the clock works beside what arrives; for the
third it is far ahead.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from booking_credits.ledger.facts import (
    BookingRevised,
    BookingStarted,
    Fact,
    Line,
    PlanRenewed,
)
from booking_credits.posting.batch import Origin
from builders import (
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_renewal,
    a_start,
    an_account,
    an_allotment,
)
from postgres.arrivals import record_of

TOPICS = ("bookings", "billing-plans", "accounts")

_SEASONS = (datetime(2024, 3, 1, tzinfo=UTC), datetime(2044, 3, 1, tzinfo=UTC))
_POLICIES = ("coins", "tenant-credits", "packs")
_ROOMS = ("fishbowl", "oak", "loft")
_AN_HOUR_COSTS = {"coin": 1000, "credit": 1, "minute": 60}
_DAYS = 60


@dataclass(frozen=True, slots=True)
class Event:
    """A fact of an account on its way: the record that tells it, and the topic it comes by."""

    account_id: str
    fact: Fact
    topic: str
    record: Origin

    @property
    def event_id(self) -> str:
        return dict(self.record.headers)["ce_id"].decode()  # type: ignore[union-attr]


def make_load(accounts: int, *, seed: int, bookings: int = 10) -> list[Event]:
    """Make the load of some accounts, in the order in which it arrives."""
    rng = Random(seed)  # noqa: S311 - chance that can be repeated is what is wanted
    arriving: list[tuple[datetime, int, Event]] = []
    for number in range(accounts):
        for event in _Account(f"company-{seed}-{number}", number, rng).events(bookings):
            for _ in range(2 if rng.random() < 1 / 12 else 1):
                late = timedelta(hours=rng.expovariate(1 / 24))
                arriving.append((event.fact.occurred_at + late, len(arriving), event))
    return [event for _, _, event in sorted(arriving, key=lambda arrival: arrival[:2])]


def event_of(fact: Fact, account_id: str) -> Event:
    """Put a fact on its way, by the topic where its kind is at home."""
    return Event(account_id, fact, _topic_of(fact), record_of(fact, account_id))


def make_lines(starts: datetime, rng: Random, units: Iterable[str]) -> Iterator[Line]:
    """Make the lines of a booking, a week apart, each with its costs in some units."""
    for number in range(1, rng.choice((2, 2, 2, 4))):
        hours = rng.randint(1, 3)
        yield a_line(
            number,
            starts=starts + timedelta(days=7 * (number - 1)),
            minutes=60 * hours,
            costs={unit: _AN_HOUR_COSTS[unit] * hours for unit in units},
            price=1500 * hours,
            resource=rng.choice(_ROOMS),
        )


def _topic_of(fact: Fact) -> str:
    if isinstance(fact, BookingRevised | BookingStarted):
        return "bookings"
    return "billing-plans" if isinstance(fact, PlanRenewed) else "accounts"


class _Account:
    """An account, which lives by the policy of its number."""

    def __init__(self, account_id: str, number: int, rng: Random) -> None:
        self._account_id = account_id
        self._policy = _POLICIES[number % len(_POLICIES)]
        self._unit = "coin" if self._policy == "coins" else "credit"
        self._season = _SEASONS[number // len(_POLICIES) % 3 == 2]
        self._rng = rng

    def events(self, bookings: int) -> Iterator[Event]:
        facts = [*self._openings(), *self._grants()]
        for number in range(bookings):
            facts += self._booking(f"{self._account_id}-{number}")
        return (event_of(fact, self._account_id) for fact in facts)

    def _openings(self) -> Iterator[Fact]:
        """Open the account; one in ten is never opened and lives by the default."""
        if self._rng.random() < 0.9:
            yield an_account(
                since=f"{self._season:%Y-01-01}",
                anchor=f"{self._season:%Y-01-01}",
                zone=self._rng.choice(("UTC", "Europe/Berlin", "America/New_York")),
                policy=self._policy,
                occurred=self._season - timedelta(days=30),
            )

    def _grants(self) -> Iterator[Fact]:
        """Renew a plan for each month, at times in a second version, and give some by hand."""
        for month in (3, 4):
            for version in range(1, self._rng.choice((2, 2, 3))):
                yield a_renewal(
                    an_allotment(self._quantity(), unit=self._unit),
                    period=f"{self._season:%Y}-{month:02}-01",
                    version=version,
                    occurred=self._season + timedelta(days=30 * (month - 3), hours=version),
                )
        for number in range(self._rng.randint(1, 2)):
            given = self._moment()
            yield a_grant(
                f"given-{number}",
                self._quantity(),
                unit=self._rng.choice((self._unit, "minute")),
                granted=given,
                valid_from=given,
                valid_to=given + timedelta(days=self._rng.randint(5, 40)),
            )

    def _booking(self, booking_id: str) -> Iterator[Fact]:
        """Book, change it up to twice, perhaps cancel it, perhaps check in."""
        booked = self._moment()
        starts = booked + timedelta(hours=self._rng.randint(2, 300))
        for revision in range(1, self._rng.randint(2, 4)):
            starts += timedelta(hours=self._rng.choice((0, 0, 3, 30)))
            yield a_booking(
                booking_id,
                *make_lines(starts, self._rng, ("coin", "credit", "minute")),
                revision=revision,
                booked=booked,
                occurred=booked + timedelta(minutes=30 * (revision - 1)),
            )
        if self._rng.random() < 0.2:
            cancelled = starts + timedelta(hours=self._rng.choice((-1, 1)))
            yield a_cancellation(booking_id, revision=9, occurred=cancelled)
        elif self._rng.random() < 0.4:
            yield a_start(booking_id, occurred=starts - timedelta(minutes=5))

    def _moment(self) -> datetime:
        return self._season + timedelta(minutes=self._rng.randrange(_DAYS * 24 * 60))

    def _quantity(self) -> int:
        return self._rng.randint(2, 12) * (1000 if self._unit == "coin" else 1)
