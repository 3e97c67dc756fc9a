"""History: a database in which accounts have lived for months before anything is measured.

One account of each policy lives through them; every other is a copy with its own names. The
copies are what the service would have written, down to hashes and ids, so that verify agrees.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid5

from asyncpg import Record

from bench.measure import Progress
from bench.mix import HISTORY_STARTS, Event, make_opening, make_single, policy_of
from bench.trial import connect, fetch_number
from booking_credits.app import reader_by
from booking_credits.inbox.reading import hash_of, read_record
from booking_credits.outbox.rendering import _NAMESPACE, render
from booking_credits.policy_file import load_policies
from booking_credits.postgres.pool import open_pool
from booking_credits.posting.batch import Arrival, Batch, Origin
from booking_credits.posting.post import Poster

Row: TypeAlias = tuple[Any, ...]

_TABLES: Final = (
    "accounts",
    "facts",
    "bookings",
    "grants",
    "charges",
    "takes",
    "obligations",
    "balances",
    "entries",
    "announcements",
    "due",
    "closings",
)
_BATCH: Final = 500
_ROWS_AT_ONCE: Final = 20_000
_ENTRIES: Final = "select count(*) from entries"
_REGISTER: Final = (
    "insert into events_received select source, event_id, account_id, payload_hash from facts"
)


async def post(dsn: str, events: Sequence[Event], *, now: datetime | None = None) -> None:
    """Post events in process, now or at a time; those that they announce count as published."""
    book = load_policies()
    pool = await open_pool(dsn, application_name="bench", max_size=1)
    poster = Poster(pool, book, read_fact=reader_by(book), render=render)
    try:
        for first in range(0, len(events), _BATCH):
            at = now or datetime.now(UTC)
            read = [read_record(_origin(e), book, at) for e in events[first : first + _BATCH]]
            posted = await poster.post(Batch(tuple(a for a in read if isinstance(a, Arrival))))
            assert posted.dead_letters == []
    finally:
        await pool.close()
    async with connect(dsn) as connection:
        await connection.execute("truncate outbox")


async def post_models(dsn: str, entries: int) -> dict[str, str]:
    """Let one account of each policy live until it has so many entries; returns them by policy."""
    models: dict[str, str] = {}
    for number in range(5):
        policy = policy_of(number)
        if policy in models:
            continue
        models[policy] = f"model-{number:07}"
        await _post_model(dsn, models[policy], policy, entries)
    return models


async def _post_model(dsn: str, account_id: str, policy: str, entries: int) -> None:
    await post(dsn, [make_opening(account_id, policy)])
    # Not every event moves credits.
    life = make_single(account_id, policy, 2 * entries, HISTORY_STARTS, seed=2)
    query = "select coalesce(max(entry_no), 0) from entries where account_id = $1"
    step = 50
    for first in range(0, len(life), step):
        await post(dsn, life[first : first + step])
        if await fetch_number(dsn, query, account_id) >= entries:
            return


async def copy_models(
    source: str, target: str, models: Mapping[str, str], ids: Sequence[str], progress: Progress
) -> int:
    """Give each account the life of its policy's model; returns how many entries there are."""
    model_of = {account_id: models[policy_of(number)] for number, account_id in enumerate(ids)}
    async with connect(source) as reading, connect(target) as writing:
        for done, table in enumerate(_TABLES, 1):
            query = f"select * from {table}"  # noqa: S608 - a name of ours
            rows = await reading.fetch(query)
            for records in _pages(table, rows, model_of):
                await writing.copy_records_to_table(
                    table, records=records, columns=list(rows[0].keys())
                )
            progress(done, len(_TABLES))
        await writing.execute(_REGISTER)
        # As autovacuum would have left it months ago.
        await writing.execute("vacuum analyze")
        return int(await writing.fetchval(_ENTRIES))


def _pages(table: str, rows: Sequence[Record], model_of: Mapping[str, str]) -> Iterator[list[Row]]:
    """Copy a table's rows for some accounts at a time, each account's in their order."""
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_model[row["account_id"]].append(tuple(row.values()))
    columns = list(rows[0].keys()) if rows else []
    records: list[Row] = []
    for account_id, model in model_of.items():
        records.extend(_repair(table, columns, _rename(by_model[model], model, account_id)))
        if len(records) >= _ROWS_AT_ONCE:
            yield records
            records = []
    if records:
        yield records


def _rename(rows: Iterable[Row], model: str, account_id: str) -> Iterator[Row]:
    for row in rows:
        yield tuple(
            value.replace(model, account_id) if isinstance(value, str) else value for value in row
        )


def _repair(table: str, columns: list[str], rows: Iterable[Row]) -> Iterator[Row]:
    """Make anew what is made of an account's name: hashes of facts, ids of announcements."""
    if table not in {"facts", "announcements"}:
        yield from rows
        return
    repair = _repair_fact if table == "facts" else _repair_announcement
    for row in rows:
        named = dict(zip(columns, row, strict=True))
        repair(named)
        yield tuple(named.values())


def _repair_fact(fact: dict[str, Any]) -> None:
    fact["payload_hash"] = hash_of(fact["type"], fact["occurred_at"], fact["payload"])


def _repair_announcement(announcement: dict[str, Any]) -> None:
    account_id = announcement["account_id"]
    place = (account_id, announcement["sequence"], announcement["part"])
    announcement["event_id"] = _name_uuid("/".join(map(str, place)))
    if announcement["type"] == "overage-detected":
        said = json.loads(announcement["payload"])
        period, currency = said["billing_period"]["start"], said["currency"] or ""
        names = (account_id, said["booking_id"], said["line"], period, currency, said["channel"])
        renamed = str(_name_uuid(" ".join(map(str, names))))
        announcement["payload"] = announcement["payload"].replace(said["obligation_id"], renamed)


def _name_uuid(name: str) -> UUID:
    return uuid5(_NAMESPACE, name)


def _origin(event: Event) -> Origin:
    headers = tuple(event.headers)
    return Origin("bench", 0, 0, event.occurred_at, event.key, event.value, headers)
