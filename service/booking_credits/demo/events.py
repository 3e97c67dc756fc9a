"""Events as the workspace's other systems send them: what they say, and their bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from booking_credits_contracts import write_headers

Data: TypeAlias = dict[str, Any]

SOURCE: Final = "demo/workspace"
_ZONE: Final = "Europe/Berlin"
_LOCATION: Final = "berlin-mitte"
_TOPICS: Final = {
    "account-opened": "accounts",
    "credits-granted": "accounts",
    "billing-plan-renewed": "billing-plans",
    "credit-pack-approved": "billing-plans",
    "credit-pack-purchased": "billing-plans",
}


def at(day: date, clock: str) -> datetime:
    """Return a time of day in the workspace: `at(MARCH_10, "09:30")`."""
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo(_ZONE))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, and what it says of a subject: a booking, a grant, a plan."""

    type: str
    occurred_at: datetime
    subject: str
    data: Data

    @property
    def key(self) -> bytes:
        """The account's id."""
        return str(self.data["account_id"]).encode()

    @property
    def topic(self) -> str:
        """Where events of its type usually go."""
        return _TOPICS.get(self.type, "bookings")

    @property
    def value(self) -> bytes:
        """The data as JSON."""
        return json.dumps(self.data).encode()

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The CloudEvents attributes, in binary mode."""
        revision = self.data.get("revision", 1)
        return write_headers(
            id=f"{self.type}/{self.subject}/{revision}",
            source=SOURCE,
            type=self.type,
            time=self.occurred_at,
            subject=self.subject,
        )


@dataclass(frozen=True, slots=True)
class Room:
    """A room and what an hour in it costs, in euros (as many coins) and in credits."""

    name: str
    euros: int
    credits: int

    def line(self, starts_at: datetime, hours: int, *, number: int = 1) -> Data:
        """Build one occurrence of a booking."""
        ends_at = starts_at.replace(hour=starts_at.hour + hours)
        costs = {"minute": 60, "coin": self.euros, "credit": self.credits}
        return {
            "line": number,
            "starts_at": starts_at.isoformat(),
            "ends_at": ends_at.isoformat(),
            "resource": self.name,
            "location": _LOCATION,
            "costs": {unit: str(cost * hours) for unit, cost in costs.items()},
            "price": {"amount_minor": self.euros * hours * 100, "currency": "EUR"},
        }


@dataclass(frozen=True, slots=True)
class Company:
    """A company with an account in the workspace, and the events that it causes."""

    account_id: str

    def opens_account(self, when: datetime, policy: str) -> Event:
        """Open the account, to be billed by the calendar month."""
        first = when.date().replace(day=1).isoformat()
        calendar = {"zone": _ZONE, "cycle": "month", "anchor_date": first}
        rules = {"policy": policy, "location": _LOCATION}
        return self._event(
            "account-opened", when, self.account_id, {"from_date": first, **calendar, **rules}
        )

    def renews(self, when: datetime, month: date, **quantities: str) -> Event:
        """Renew the plan for a month, with a quantity of each unit."""
        allotments = [
            {"plan_line": f"{unit}s", "unit": unit, "quantity": quantity}
            for unit, quantity in quantities.items()
        ]
        said = {"plan": "team", "period_start": month.isoformat(), "allotments": allotments}
        subject = f"{self.account_id}-{month:%B}".lower()
        return self._event("billing-plan-renewed", when, subject, said)

    def buys(self, when: datetime, name: str, months: int, euros: int, **quantity: str) -> Event:
        """Buy a pack of one unit, which lasts for some months and counts once it is invoiced."""
        [(unit, number)] = quantity.items()
        said = {
            "pack_id": name,
            "unit": unit,
            "quantity": number,
            "lifetime": {"count": months, "unit": "months"},
            "price": {"amount_minor": euros * 100, "currency": "EUR"},
            "sold_via": "point_of_sale",
        }
        return self._event("credit-pack-purchased", when, name, said)

    def is_invoiced(self, when: datetime, pack: str, number: str) -> Event:
        """Find a pack on an invoice."""
        said = {"pack_id": pack, "document": "invoice", "reference": number}
        return self._event("credit-pack-approved", when, pack, said)

    def is_granted(self, when: datetime, name: str, reason: str, **quantity: str) -> Event:
        """Be granted a quantity of one unit by Dora at the front desk."""
        [(unit, number)] = quantity.items()
        said = {"grant_id": name, "unit": unit, "quantity": number}
        return self._event(
            "credits-granted", when, name, {**said, "actor": "dora", "reason": reason}
        )

    def books(
        self,
        when: datetime,
        name: str,
        *lines: Data,
        revision: int = 1,
        booked_at: datetime | None = None,
    ) -> Event:
        """Make a booking or, from the second revision on, change it."""
        said = {
            "booking_id": self._booking_id(name),
            "revision": revision,
            "booked_at": (booked_at or when).isoformat(),
            "lines": list(lines),
        }
        kind = "booking-created" if revision == 1 else "booking-updated"
        return self._event(kind, when, self._booking_id(name), said)

    def calls_off(self, when: datetime, name: str) -> Event:
        """Cancel a booking that was never changed."""
        said = {"booking_id": self._booking_id(name), "revision": 2}
        return self._event("booking-cancelled", when, self._booking_id(name), said)

    def checks_in(self, when: datetime, name: str) -> Event:
        """Begin to use what was booked."""
        said = {"booking_id": self._booking_id(name)}
        return self._event("booking-started", when, self._booking_id(name), said)

    def _booking_id(self, name: str) -> str:
        return f"{self.account_id}-{name}"

    def _event(self, kind: str, when: datetime, subject: str, said: Data) -> Event:
        return Event(kind, when, subject, {"account_id": self.account_id, **said})
