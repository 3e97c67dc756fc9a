"""Writing: what a batch changed of accounts, each row once, whatever passed in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.due import due_instants
from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.facts import PeriodClosed
from booking_credits.ledger.grant_ids import is_of_rule
from booking_credits.postgres.rows import (
    CHARGE_COLUMNS,
    CLOSED_COLUMNS,
    GRANT_COLUMNS,
    OBLIGATION_COLUMNS,
    buckets_row,
    charge_row,
    closed_row,
    grant_row,
    obligation_row,
)
from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.announcements import Obligation
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.postgres.pool import Connection

Row: TypeAlias = tuple[object, ...]
Accounts: TypeAlias = "Sequence[tuple[str, _Touched]]"

_SQL = load_queries("ledger.sql")
_FACTS = (
    "account_id",
    "fact_no",
    "subject",
    "type",
    "source",
    "event_id",
    "occurred_at",
    "recorded_at",
    "payload",
    "payload_hash",
    "answer",
)
_ENTRIES = (
    "account_id",
    "entry_no",
    "fact_no",
    "grant_id",
    "source_bucket",
    "target_bucket",
    "quantity",
    "booking_id",
    "line_no",
    "effective_at",
)
_ANNOUNCEMENTS = (
    "account_id",
    "sequence",
    "part",
    "type",
    "event_id",
    "fact_no",
    "recorded_at",
    "payload",
)
_OUTBOX = ("shard", "account_id", "sequence", "part", "traceparent")


@dataclass(slots=True)
class _Touched:
    """What a batch has changed of an account, as it was before; the record says how it is now."""

    record: AccountRecord
    charges: dict[LineKey, Charge | None] = field(default_factory=dict)
    grants: dict[str, GrantRecord | None] = field(default_factory=dict)
    obligations: dict[LineKey, tuple[Obligation, ...]] = field(default_factory=dict)
    units: set[str] = field(default_factory=set)


class LedgerWriter:
    """Collects the outcomes of a batch, in order, and writes them set by set.

    `facts`, `announcements` and `outbox` are rows that wait to be appended; `entries` and
    `announced` count what was noted in all.
    """

    def __init__(self) -> None:
        """Begin with nothing to write."""
        self.facts: list[Row] = []
        self.announcements: list[Row] = []
        self.outbox: list[Row] = []
        self.entries = 0
        self.announced = 0
        self._entries: list[Row] = []
        self._closed: list[Row] = []
        self._touched: dict[str, _Touched] = {}
        self._due: set[tuple[datetime, str]] = set()

    def note(self, record: AccountRecord, outcome: Outcome) -> None:
        """Note an outcome before the record takes it over."""
        account_id = record.account_id
        touched = self._touched.get(account_id)
        if touched is None:
            touched = self._touched[account_id] = _Touched(record)
        for key in outcome.charges:
            touched.charges.setdefault(key, record.charges.get(key))
        for grant_id in outcome.grants:
            touched.grants.setdefault(grant_id, record.grants.get(grant_id))
        for key in outcome.obligations:
            touched.obligations.setdefault(key, record.obligations.get(key, ()))
        touched.units.update(outcome.balances)
        self._due.update((due_at, account_id) for due_at in due_instants(record, outcome))
        if isinstance(outcome.fact, PeriodClosed):
            self._closed += (closed_row(account_id, line) for line in outcome.fact.lines or ())
        self._note_entries(account_id, outcome)

    def _note_entries(self, account_id: str, outcome: Outcome) -> None:
        self.entries += len(outcome.entries)
        for number, entry in outcome.entries:
            booking_id, line_no = entry.line_key or (None, None)
            self._entries.append(
                (
                    account_id,
                    number,
                    outcome.numbers.fact,
                    entry.grant_id,
                    entry.source,
                    entry.target,
                    entry.quantity,
                    booking_id,
                    line_no,
                    outcome.effective_at,
                )
            )

    async def append(self, connection: Connection) -> None:
        """Write what is only ever appended to, as far as it was noted."""
        facts, entries, announcements = self.facts, self._entries, self.announcements
        outbox = self.outbox
        self.facts, self._entries, self.announcements, self.outbox = [], [], [], []
        self.announced += len(announcements)
        await _copy(connection, "facts", _FACTS, facts)
        await _copy(connection, "entries", _ENTRIES, entries)
        await _copy(connection, "announcements", _ANNOUNCEMENTS, announcements)
        await _copy(connection, "outbox", _OUTBOX, outbox)

    async def write(self, connection: Connection) -> None:
        """Write everything that was noted and not appended yet."""
        await self.append(connection)
        await _copy(connection, "closed_lines", CLOSED_COLUMNS, self._closed)
        touched = sorted(self._touched.items())
        await self._write_charges(connection, touched)
        await self._write_grants(connection, touched)
        await self._write_obligations(connection, touched)
        await self._write_balances(connection, touched)
        await _execute(connection, "put_due", sorted(self._due))
        await _execute(connection, "update_accounts", [_account_row(t.record) for _, t in touched])

    async def _write_charges(self, connection: Connection, touched: Accounts) -> None:
        dropped: list[Row] = []
        added: list[Row] = []
        takes_dropped: set[Row] = set()
        takes_added: set[Row] = set()
        for account_id, of_account in touched:
            charges = of_account.record.charges
            for key in sorted(of_account.charges):
                before, after = of_account.charges[key], charges.get(key)
                if before == after:
                    continue
                if before is not None:
                    dropped.append((account_id, *key))
                    takes_dropped.update(_takes(account_id, before))
                if after is not None:
                    added.append(charge_row(account_id, after))
                    takes_added.update(_takes(account_id, after))
        await _execute(connection, "delete_charges", dropped)
        await _copy(connection, "charges", CHARGE_COLUMNS, added)
        columns = ("account_id", "grant_id", "rank", "booking_id", "starts_at")
        gone = sorted(row[:3] for row in takes_dropped - takes_added)
        await _execute(connection, "delete_takes", gone)
        await _copy(connection, "takes", columns, sorted(takes_added - takes_dropped))

    async def _write_grants(self, connection: Connection, touched: Accounts) -> None:
        dropped: list[Row] = []
        added: list[Row] = []
        moved: list[Row] = []
        for account_id, of_account in touched:
            record = of_account.record
            for grant_id in sorted(of_account.grants):
                before, after = of_account.grants[grant_id], record.grants.get(grant_id)
                if before == after and before is not None:
                    continue
                if (
                    before is not None
                    and after is not None
                    and (before.grant, before.rolled) == (after.grant, after.rolled)
                ):
                    moved.append((account_id, grant_id, *buckets_row(after.buckets)))
                    continue
                known = GrantRecord(record.gone[grant_id], Buckets()) if after is None else after
                if before is not None or is_of_rule(grant_id):
                    dropped.append((account_id, grant_id))
                added.append(grant_row(account_id, known, gone=after is None))
        await _execute(connection, "update_buckets", moved)
        await _execute(connection, "delete_grants", dropped)
        await _copy(connection, "grants", GRANT_COLUMNS, added)

    async def _write_obligations(self, connection: Connection, touched: Accounts) -> None:
        dropped: list[Row] = []
        added: list[Row] = []
        for account_id, of_account in touched:
            for key in sorted(of_account.obligations):
                if of_account.obligations[key]:
                    dropped.append((account_id, *key))
                after = of_account.record.obligations.get(key, ())
                added.extend(obligation_row(account_id, obligation) for obligation in after)
        await _execute(connection, "delete_obligations", dropped)
        await _copy(connection, "obligations", OBLIGATION_COLUMNS, added)

    async def _write_balances(self, connection: Connection, touched: Accounts) -> None:
        rows = [
            (account_id, unit, *buckets_row(of_account.record.balances[unit]))
            for account_id, of_account in touched
            for unit in sorted(of_account.units)
        ]
        await _execute(connection, "put_balances", rows)


def _takes(account_id: str, charge: Charge) -> list[Row]:
    booking_id, starts_at = charge.standing.booking_id, charge.line.starts_at
    return [
        (account_id, take.grant_id, charge.rank, booking_id, starts_at) for take in charge.loose
    ]


def _account_row(record: AccountRecord) -> Row:
    numbers = record.numbers
    return (
        record.account_id,
        numbers.fact,
        numbers.entry,
        numbers.sequence,
        *numbers.last,
        record.present,
        "\n".join(record.monthly),
        record.closed_through,
    )


async def _execute(connection: Connection, name: str, rows: Sequence[Row]) -> None:
    """Run a statement over rows given as one array for each column."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_SQL[name], *columns)


async def _copy(
    connection: Connection, table: str, columns: tuple[str, ...], rows: list[Row]
) -> None:
    if rows:
        await connection.copy_records_to_table(table, records=rows, columns=columns)
