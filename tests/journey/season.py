"""Season: three months of accounts in three zones, in each of which the clocks change within.

Most of it is told at once, some of it weeks later, and of every account a booking and a late
renewal, allotment or approval six weeks later: when the period that they belong to is closed. What
was booked in time and cancelled in time may be told as late. One in twelve events comes twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeAlias
from zoneinfo import ZoneInfo

from booking_credits.ledger.facts import Fact, Line, Rollover, Span
from builders import (
    a_booking,
    a_cancellation,
    a_grant,
    a_pack,
    a_removal,
    a_renewal,
    a_standing_allotment,
    a_start,
    an_account,
    an_allotment,
    an_approval,
)
from journey.load import Event, event_of, make_lines

Told: TypeAlias = tuple[Fact, timedelta]

# On the first of these days it is March in every zone, and on the last one June. They lie in the
# past, for Kafka takes no records of the future.
BEGINS_AT = datetime(2024, 3, 1, 12, tzinfo=UTC)
ENDS_AT = datetime(2024, 6, 8, 12, tzinfo=UTC)
SIX_WEEKS = timedelta(weeks=6)
MONTHS = ("2024-03-01", "2024-04-01", "2024-05-01")
# How the ids of the grants begin that tenants are allotted, and of those that replace them.
ALLOTTED = "allotment/allowance/credit/"
RENEWED = "plan/hot-desk/base/"
ZONES = ("Pacific/Auckland", "Europe/Berlin", "America/Los_Angeles")

_AT_ONCE = timedelta()
_A_DAY = timedelta(days=1)
_GRACE = timedelta(hours=72)
_POLICIES = ("coins", "tenant-credits", "packs")
_BOOKINGS = 12
_LAST_MADE_AFTER_HOURS = 85 * 24


def closings(month: str) -> list[datetime]:
    """Return the instants from which a month may be closed, that of each zone in turn."""
    local = datetime.fromisoformat(month).replace(day=28) + timedelta(days=4)
    ends = [local.replace(day=1, tzinfo=ZoneInfo(zone)).astimezone(UTC) for zone in ZONES]
    return [end + _GRACE for end in ends]


# Time stops here, and at every instant from which a period may be closed.
STEPS = sorted(
    {BEGINS_AT + timedelta(days=6 * n, hours=1) for n in range(17)}
    | {instant for month in MONTHS for instant in closings(month)}
    | {ENDS_AT}
)


@dataclass(frozen=True, slots=True)
class Letter:
    """An event with the time at which its system writes it to Kafka: never on a full minute."""

    written_at: datetime
    event: Event


def make_season(*, seed: int) -> list[Letter]:
    """Make the season of eighteen accounts, two of each policy in each zone, as it is written."""
    rng = Random(seed)  # noqa: S311 - chance that can be repeated is what is wanted
    letters: list[Letter] = []
    for zone in ZONES:
        for policy in _POLICIES:
            for number in range(2):
                account_id = f"{zone.rpartition('/')[2]}-{policy}-{number}"
                letters += _Account(account_id, zone, policy, rng).letters()
    return sorted(letters, key=lambda letter: letter.written_at)


class _Account:
    """An account, which lives by a policy in a zone."""

    def __init__(self, account_id: str, zone: str, policy: str, rng: Random) -> None:
        self._account_id = account_id
        self._zone = zone
        self._policy = policy
        self._unit = "coin" if policy == "coins" else "credit"
        self._rng = rng

    def letters(self) -> Iterator[Letter]:
        """Write down what is told of it."""
        told = [*self._opening(), *self._by_hand(), *self._late_booking(), *self._late_news()]
        for month in range(3):
            told += self._month(month)
        for number in range(_BOOKINGS):
            told += self._booking(f"{self._account_id}-{number}")
        for fact, delay in told:
            event = event_of(fact, self._account_id)
            for again in range(2 if self._rng.random() < 1 / 12 else 1):
                yield Letter(_written_at(fact.occurred_at + delay + again * _A_DAY), event)

    def _opening(self) -> Iterator[Told]:
        """Open it; tenants are allotted their credits, and the service's clock issues them."""
        allotment = a_standing_allotment(
            8, plan_line=("hot-desk", "base"), rollover=Rollover(Span(1, "months"), 3)
        )
        yield (
            an_account(
                since=MONTHS[0],
                anchor=MONTHS[0],
                zone=self._zone,
                policy=self._policy,
                on_account=self._policy == "packs",
                allotments=[allotment] if self._policy == "tenant-credits" else (),
                occurred=BEGINS_AT - _A_DAY,
            ),
            _AT_ONCE,
        )

    def _month(self, month: int) -> Iterator[Told]:
        """Renew a plan, April's six weeks late, May's again as less; or sell a pack.

        Billing renews April's alone of what tenants are allotted.
        """
        begins_at = datetime.fromisoformat(MONTHS[month]).replace(tzinfo=UTC)
        delay = SIX_WEEKS if month == 1 else _AT_ONCE
        if self._policy == "packs":
            pack_id, lifetime = f"pack-{month}", Span(self._rng.choice((20, 30, 60)), "days")
            yield a_pack(pack_id, 7, lifetime=lifetime, bought=begins_at + _A_DAY), self._delay()
            approved = an_approval(pack_id, occurred=begins_at + 2 * _A_DAY)
            yield approved, SIX_WEEKS if month == 0 else self._delay()
        elif self._policy == "coins" or month == 1:
            for version in range(1, 3 if month == 2 else 2):
                allotment = an_allotment(self._quantity() // version, unit=self._unit)
                occurred = begins_at + version * _A_DAY
                renewal = a_renewal(
                    allotment, period=MONTHS[month], version=version, occurred=occurred
                )
                yield renewal, delay

    def _by_hand(self) -> Iterator[Told]:
        """Give credits for some weeks, and take a part of them away again."""
        for number in range(2):
            given = self._moment()
            yield (
                a_grant(
                    f"given-{number}",
                    self._quantity(),
                    unit=self._unit,
                    granted=given,
                    valid_from=given,
                    valid_to=given + timedelta(days=self._rng.randint(10, 40)),
                ),
                self._delay(),
            )
        removed = given + timedelta(days=3)
        part = 1000 if self._unit == "coin" else 1
        yield a_removal("given-1", part, unit=self._unit, occurred=removed), self._delay()

    def _late_booking(self) -> Iterator[Told]:
        """Use a room in March of which nobody knows until six weeks later."""
        starts = BEGINS_AT + timedelta(days=self._rng.randint(3, 14))
        late = a_booking(f"{self._account_id}-late", *self._lines(starts), occurred=starts - _A_DAY)
        yield late, SIX_WEEKS

    def _late_news(self) -> Iterator[Told]:
        """Book in time, cancel in time, and tell of it when March is closed."""
        booking_id = f"{self._account_id}-cancelled"
        starts = BEGINS_AT + timedelta(days=self._rng.randint(10, 20))
        made = a_booking(booking_id, *self._lines(starts), occurred=starts - 5 * _A_DAY)
        yield made, _AT_ONCE
        yield a_cancellation(booking_id, occurred=starts - _A_DAY), timedelta(weeks=5)

    def _booking(self, booking_id: str) -> Iterator[Told]:
        """Book, change it up to twice, perhaps cancel it, perhaps check in."""
        booked = self._moment()
        starts = booked + timedelta(hours=self._rng.randint(2, 300))
        for revision in range(1, self._rng.randint(2, 4)):
            starts += timedelta(hours=self._rng.choice((0, 0, 3, 30)))
            occurred = booked + timedelta(minutes=30 * (revision - 1))
            lines = self._lines(starts)
            made = a_booking(
                booking_id, *lines, revision=revision, booked=booked, occurred=occurred
            )
            yield made, self._delay()
        if self._rng.random() < 0.2:
            cancelled = starts + timedelta(hours=self._rng.choice((-1, 1)))
            yield a_cancellation(booking_id, revision=9, occurred=cancelled), self._delay()
        elif self._rng.random() < 0.4:
            yield a_start(booking_id, occurred=starts - timedelta(minutes=5)), self._delay()

    def _lines(self, starts: datetime) -> Iterator[Line]:
        return make_lines(starts, self._rng, ("coin", "credit"))

    def _delay(self) -> timedelta:
        """Take hours, one time in five days, and one time in ten weeks."""
        kind = self._rng.random()
        if kind < 0.7:
            return timedelta(hours=self._rng.expovariate(1 / 6))
        return timedelta(days=self._rng.uniform(*((1, 14) if kind < 0.9 else (14, 42))))

    def _moment(self) -> datetime:
        return BEGINS_AT + timedelta(hours=self._rng.randrange(_LAST_MADE_AFTER_HOURS))

    def _quantity(self) -> int:
        return self._rng.randint(4, 12) * (1000 if self._unit == "coin" else 1)


def _written_at(instant: datetime) -> datetime:
    """Put it within the season, and half a minute past a full one."""
    within = min(max(instant, BEGINS_AT), ENDS_AT - timedelta(hours=1))
    return within.replace(second=30, microsecond=0)
