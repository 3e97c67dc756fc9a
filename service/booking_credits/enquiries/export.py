"""Export: each reservation line with what credits and what cash pay for it, and their totals."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from booking_credits.enquiries.answers import Answer
from booking_credits.enquiries.explanation import zone_of
from booking_credits.enquiries.holdings import UNLIMITED
from booking_credits.enquiries.log import window
from booking_credits.ledger.charges import cash_for, channel_of
from booking_credits.outbox.rendering import quantities_json
from booking_credits.postgres import enquiries
from booking_credits.postgres.rows import charge_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import date

    from booking_credits.enquiries.session import Session
    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.charges import Charge
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.output import Json

Period: TypeAlias = "tuple[str, date]"

_PAGE: Final = 200
_COLUMNS: Final = (
    "account_id",
    "booking_id",
    "line",
    "starts_at",
    "ends_at",
    "resource",
    "location",
    "period_start",
    "cost_type",
    "credits",
    "cash_minor",
    "currency",
    "channel",
    "overage",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for: those that start on local dates `[from_date, to_date)`."""

    account_id: str | None = None
    from_date: date | None = None
    to_date: date | None = None
    location: str | None = None


async def export(session: Session, wanted: Wanted) -> Answer:
    """List lines with their cost type and amounts, and what they sum up to.

    Totals are by account and billing period: credits by unit beside what was issued for the
    period, and cash by channel and currency, be it owed or still expected.

    Raises:
        NotFound: nothing is on record of the account that was asked for.
    """
    rows: list[Json] = []
    totals = _Totals(session.book)
    zone = "UTC"
    async for records in _pages(session, wanted.account_id):
        rows += await _export(session, wanted, records, totals)
        if wanted.account_id is not None:
            zone = zone_of(records[wanted.account_id])
    about = {
        "account_id": wanted.account_id,
        "zone": zone,
        "complete_through": await session.complete_through(),
    }
    tables = {"lines": rows, "credits": totals.credits(), "cash": totals.cash()}
    return Answer(about, tables, zone, _COLUMNS)


async def _pages(
    session: Session, account_id: str | None
) -> AsyncIterator[Mapping[str, AccountRecord]]:
    """Read the terms of one account, or of all of them page by page."""
    if account_id is not None:
        looking = await session.account(account_id)
        yield {account_id: looking.record}
        return
    after = ""
    while ids := await enquiries.accounts_after(session.connection, after, _PAGE):
        yield await session.accounts(ids)
        after = ids[-1]


async def _export(
    session: Session, wanted: Wanted, records: Mapping[str, AccountRecord], totals: _Totals
) -> list[Json]:
    windows = [
        (account_id, *window(wanted.from_date, wanted.to_date, zone_of(record)))
        for account_id, record in records.items()
    ]
    issued = await enquiries.issued_to_accounts(session.connection, records)
    units = {(row["account_id"], row["grant_id"]): row["unit"] for row in issued}
    rows: list[Json] = []
    for row in await enquiries.lines_of_accounts(session.connection, windows, wanted.location):
        account_id = row["account_id"]
        rows.append(_line(row, records[account_id], units, totals))
    for grant in issued:
        period = records[grant["account_id"]].timeline.period_at(grant["from_at"])
        totals.issue((grant["account_id"], period.start_date), grant)
    return rows


def _line(
    row: Mapping[str, Any],
    record: AccountRecord,
    units: Mapping[tuple[str, str], str],
    totals: _Totals,
) -> Json:
    charge = charge_from(row)
    line = charge.line
    period = (record.account_id, record.timeline.period_at(line.starts_at).start_date)
    taken: Counter[str] = Counter()
    for take in charge.coverage.takes:
        taken[units[record.account_id, take.grant_id]] += take.quantity
    overage = _overage(charge, row["owed_minor"])
    # What credits may not pay is normal billing's, by whatever channel that has.
    policy = record.timeline.location_policy(line.location, line.starts_at)
    channel = row["owed_by"] or channel_of(charge.standing, policy, record.timeline)
    cash = _cash(charge, row["owed_minor"])
    currency = None if line.price is None else line.price.currency
    totals.add(period, taken, (channel, currency, overage), cash)
    return {
        "account_id": record.account_id,
        "booking_id": charge.standing.booking_id,
        "line": line.line_no,
        "starts_at": line.starts_at,
        "ends_at": line.ends_at,
        "resource": line.resource,
        "location": line.location,
        "period_start": period[1],
        "cost_type": _cost_type(charge),
        "credits": quantities_json(taken.items(), record.book),
        "cash_minor": cash,
        "currency": currency,
        "channel": None if overage in ("none", "not_eligible") else channel,
        "overage": overage,
    }


def _cost_type(charge: Charge) -> str:
    """Say what pays a line: credits, cash, both, or nothing because it is free."""
    takes, uncovered = charge.coverage.takes, charge.coverage.uncovered[0]
    if takes:
        return "mixed" if uncovered else "credits"
    return "cash" if uncovered else "free"


def _overage(charge: Charge, owed_minor: int | None) -> str:
    """Say whether the uncovered part is owed already, will be, or is none of the ledger's."""
    if not charge.eligible:
        return "not_eligible"
    if not charge.short:
        return "none"
    if charge.line.price is None:
        return "unpriced"
    return "expected" if owed_minor is None else "owed"


def _cash(charge: Charge, owed_minor: int | None) -> int | None:
    if charge.line.price is None:
        return None
    if owed_minor is not None:
        return owed_minor
    return cash_for(charge) or 0


@dataclass(slots=True)
class _Totals:
    """What lines sum up to, by account and billing period."""

    book: PolicyBook
    used: dict[Period, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    issued: dict[Period, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    unlimited: set[tuple[Period, str]] = field(default_factory=set)
    money: Counter[tuple[Period, str, str, str]] = field(default_factory=Counter)

    def add(
        self,
        period: Period,
        taken: Mapping[str, int],
        owed: tuple[str, str | None, str],
        cash: int | None,
    ) -> None:
        """Add a line."""
        self.used[period].update(taken)
        channel, currency, overage = owed
        if currency is not None and overage in ("owed", "expected"):
            self.money[period, channel, currency, overage] += cash or 0

    def issue(self, period: Period, grant: Mapping[str, Any]) -> None:
        """Add what was issued for a period."""
        if grant["quantity"] is None:
            self.unlimited.add((period, grant["unit"]))
        self.issued[period][grant["unit"]] += grant["granted"]

    def credits(self) -> Sequence[Json]:
        """List the credits that the lines of each period use, beside what was issued for it."""
        return [
            {
                "account_id": period[0],
                "period_start": period[1],
                "unit": unit,
                "used": quantities_json([(unit, steps)], self.book)[unit],
                "issued": UNLIMITED
                if (period, unit) in self.unlimited
                else quantities_json([(unit, self.issued[period][unit])], self.book)[unit],
            }
            for period, by_unit in sorted(self.used.items())
            for unit, steps in sorted(by_unit.items())
        ]

    def cash(self) -> Sequence[Json]:
        """List the cash that is owed or expected in each period, by channel and currency."""
        return [
            {
                "account_id": period[0],
                "period_start": period[1],
                "channel": channel,
                "overage": overage,
                "cash_minor": minor,
                "currency": currency,
            }
            for (period, channel, currency, overage), minor in sorted(self.money.items())
        ]
