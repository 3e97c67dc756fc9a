"""Reading: what is on record of accounts, as far as a batch needs it.

A batch begins with what its facts name. Where the ledger asks for more (`NotLoaded`), all
accounts' questions of one kind are answered by one query, a page of charges at a time, so that
what is read grows with what changes and not with what there is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.answers import with_answer
from booking_credits.ledger.calendars import timelines_by
from booking_credits.ledger.charges import LAST_RANK, rank_before
from booking_credits.ledger.closing import closed_line_from
from booking_credits.ledger.facts import PeriodClosed, TimePassed
from booking_credits.ledger.needs import (
    DueBy,
    Everything,
    FactsOf,
    GrantsEndingAfter,
    LinesFrom,
    LinesWithin,
    OpenLinesBefore,
    TakersBelow,
    WantingAbove,
)
from booking_credits.ledger.outcomes import Numbers
from booking_credits.ledger.postings import Flow, Owing, PostedAround, Sums
from booking_credits.ledger.subjects import ACCOUNT_SUBJECT, CLOCK_SUBJECT, CLOSING_SUBJECT
from booking_credits.postgres.kept_records import KeptRecords
from booking_credits.postgres.pages import PAGE_SIZE, PageSizes
from booking_credits.postgres.rows import (
    LAST_OF_KINDS,
    buckets_from,
    charge_from,
    grant_from,
    obligation_from,
)
from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from booking_credits.ledger.calendars import Timelines
    from booking_credits.ledger.facts import Fact
    from booking_credits.ledger.needs import Need
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.pool import Connection

Pair: TypeAlias = tuple[str, str]
ReadFact: TypeAlias = "Callable[[str, datetime, str], Fact]"

_SQL = load_queries("ledger.sql")


class LedgerReader:
    """Reads accounts into records, within one transaction; `rows_read` counts what it took."""

    def __init__(  # noqa: PLR0913 - the usual values are its documentation
        self,
        connection: Connection,
        book: PolicyBook,
        read_fact: ReadFact,
        *,
        page_size: int = PAGE_SIZE,
        locks: bool = True,
        timelines: Timelines | None = None,
        kept: KeptRecords | None = None,
    ) -> None:
        """Read facts by `read_fact(type, occurred_at, payload)`, first pages of charges of a size.

        Without `locks` it only looks: accounts are neither made nor locked. Readers by the same
        book may share `timelines`. What is `kept` from before is not read again.
        """
        self._connection = connection
        self._book = book
        self._read_fact = read_fact
        self._page_sizes = PageSizes(page_size)
        self._locks = locks
        self._timelines = timelines or timelines_by(book)
        self._kept = kept or KeptRecords(0)
        self.records: dict[str, AccountRecord] = {}
        self.rows_read = 0

    async def open(
        self,
        account_ids: Sequence[str],
        subjects: Iterable[Pair],
        bookings: Iterable[Pair],
        grants: Iterable[Pair],
        starts: Mapping[str, datetime],
    ) -> dict[str, AccountRecord]:
        """Lock accounts and read what a batch names of them.

        `subjects`, `bookings` and `grants` pair an account with a name; `starts` gives the
        earliest service start that the batch brings to an account.
        """
        if self._locks:
            await self._connection.execute(_SQL["create_accounts"], account_ids)
        unread = []
        for row in await self._fetch(
            "lock_accounts" if self._locks else "look_at_accounts", account_ids
        ):
            account_id, numbers = row["account_id"], _numbers(row)
            kept = self._kept.take(account_id, numbers)
            self.records[account_id] = kept or self._record(row, numbers)
            if kept is None:
                unread.append(account_id)
        own = (
            (account_id, subject)
            for account_id in unread
            for subject in (ACCOUNT_SUBJECT, *self.records[account_id].monthly)
        )
        unknown = (pair for pair in subjects if pair[1] not in self.records[pair[0]].facts)
        await self._read_facts("facts_of_subjects", *_columns({*unknown, *own}))
        await self._read_bookings(bookings)
        await self._read_balances(unread)
        await self._read_grants("grants_by_id", *_columns(self._unread_grants(grants)))
        await self._read_usable_grants(self._earliest(starts, account_ids))
        return self.records

    async def answer(self, needs: Sequence[tuple[AccountRecord, Need]]) -> None:
        """Read what the ledger asked for, one query for each kind of question."""
        by_kind: dict[type[Need], list[tuple[AccountRecord, Any]]] = defaultdict(list)
        for record, need in needs:
            by_kind[type(need)].append((record, need))
        await self._read_lines_from(by_kind[LinesFrom])
        await self._read_takers(by_kind[TakersBelow])
        await self._read_wanting(by_kind[WantingAbove])
        await self._read_lines(by_kind[LinesWithin])
        await self._read_open_lines(by_kind[OpenLinesBefore])
        await self._read_due(by_kind[DueBy])
        await self._read_postings(by_kind[PostedAround])
        subjects = [(record.account_id, need.subject) for record, need in by_kind[FactsOf]]
        await self._read_facts("facts_of_subjects", *_columns(subjects))
        await self._read_everything([record for record, _ in by_kind[Everything]])
        usable = {r.account_id: need.instant for r, need in by_kind[GrantsEndingAfter]}
        # What was read to be covered anew will ask for the grants that can pay it.
        asked = {record.account_id for record, _ in needs}
        await self._read_usable_grants(self._earliest(usable, asked))

    async def _read_balances(self, account_ids: list[str]) -> None:
        for row in await self._fetch("balances_of_accounts", account_ids) if account_ids else ():
            record = self.records[row["account_id"]]
            record.reach.last_short = row["last_short"]
            record.reach.short_through = row["short_through"]
            if row["unit"] is not None:
                record.balances[row["unit"]] = buckets_from(row)

    async def _read_takers(self, asked: list[tuple[AccountRecord, TakersBelow]]) -> None:
        ends = await self._read_pages(
            "takers_below",
            asked,
            min,
            [r.account_id for r, _ in asked],
            [need.grant_id for _, need in asked],
            [need.place for _, need in asked],
            [need.above for _, need in asked],
        )
        for (record, need), end in zip(asked, ends, strict=True):
            record.reach.takers_from[need.grant_id] = need.above if end is None else end

    async def _read_wanting(self, asked: list[tuple[AccountRecord, WantingAbove]]) -> None:
        ends = await self._read_pages(
            "wanting_above",
            asked,
            max,
            [r.account_id for r, _ in asked],
            [need.grant.grant_id for _, need in asked],
            [need.grant.from_at for _, need in asked],
            [need.grant.to_at for _, need in asked],
            [need.place for _, need in asked],
            ["\n".join(sorted(need.better_ids)) for _, need in asked],
            [need.place <= rank_before(need.grant.from_at, r.timeline) for r, need in asked],
        )
        for (record, need), end in zip(asked, ends, strict=True):
            record.reach.add_wanting(need, LAST_RANK if end is None else end)

    async def _read_lines(self, asked: list[tuple[AccountRecord, LinesWithin]]) -> None:
        ends = await self._read_pages(
            "lines_within",
            asked,
            lambda starts: max(starts) + timedelta(microseconds=1),
            [r.account_id for r, _ in asked],
            [need.place for _, need in asked],
            [need.to_at for _, need in asked],
        )
        for (record, need), end in zip(asked, ends, strict=True):
            record.reach.lines_up_to[need.question] = need.to_at if end is None else end

    async def _read_pages(
        self,
        name: str,
        asked: Sequence[tuple[AccountRecord, TakersBelow | WantingAbove | LinesWithin]],
        end_of: Callable[[list[Any]], Any],
        *columns: list[Any],
    ) -> list[Any]:
        """Read a page of bookings for each question; returns where each ended, None if at the end.

        `end_of` says where a page ends of the places where charges were found.
        """
        if not asked:
            return []
        questions = [(record.account_id, need.question) for record, need in asked]
        sizes = [
            self._page_sizes.of(question, need.place)
            for question, (_, need) in zip(questions, asked, strict=True)
        ]
        rows = await self._fetch(name, *columns, sizes)
        places: list[list[Any]] = [[] for _ in asked]
        for row in rows:
            places[row["question"]].append(row["place"])
        await self._read_bookings((row["account_id"], row["booking_id"]) for row in rows)
        ends = [
            end_of(found) if len(found) >= size else None
            for size, found in zip(sizes, places, strict=True)
        ]
        for question, end, size in zip(questions, ends, sizes, strict=True):
            if end is not None:
                self._page_sizes.double(question, end, size)
        return ends

    async def _read_lines_from(self, asked: list[tuple[AccountRecord, LinesFrom]]) -> None:
        if not asked:
            return
        ids, instants = [r.account_id for r, _ in asked], [need.instant for _, need in asked]
        rows = await self._fetch("lines_from", ids, instants)
        await self._read_bookings((row["account_id"], row["booking_id"]) for row in rows)
        for record, need in asked:
            record.reach.lines_from = min(need.instant, record.reach.lines_from or need.instant)

    async def _read_open_lines(self, asked: list[tuple[AccountRecord, OpenLinesBefore]]) -> None:
        if not asked:
            return
        ids, instants = [r.account_id for r, _ in asked], [need.instant for _, need in asked]
        rows = await self._fetch("open_lines_before", ids, instants)
        await self._read_bookings((row["account_id"], row["booking_id"]) for row in rows)
        for record, need in asked:
            record.reach.open_before = need.instant

    async def _read_due(self, asked: list[tuple[AccountRecord, DueBy]]) -> None:
        if not asked:
            return
        ids, instants = [r.account_id for r, _ in asked], [need.instant for _, need in asked]
        rows = await self._fetch("bookings_due_by", ids, instants)
        await self._read_bookings((row["account_id"], row["booking_id"]) for row in rows)
        last_ends = [need.last_end for _, need in asked]
        await self._read_grants("grants_ended_by", ids, last_ends)
        for record, need in asked:
            record.reach.due_through = need.instant

    async def _read_postings(self, asked: list[tuple[AccountRecord, PostedAround]]) -> None:
        if not asked:
            return
        columns = (
            [record.account_id for record, _ in asked],
            [need.since for _, need in asked],
            [need.ends_at for _, need in asked],
            [need.closed_fact for _, need in asked],
        )
        flows: dict[int, list[Flow]] = defaultdict(list)
        for row in await self._fetch("flows_around", *columns):
            flows[row["question"]].append(Flow(*tuple(row)[1:]))
        owing: dict[int, list[Owing]] = defaultdict(list)
        for row in await self._fetch("owing_around", *columns):
            owing[row["question"]].append(Owing(*tuple(row)[1:]))
        for number, (record, need) in enumerate(asked):
            record.postings.sums[need] = Sums(tuple(flows[number]), tuple(owing[number]))

    async def _read_everything(self, records: list[AccountRecord]) -> None:
        if not records:
            return
        ids = [record.account_id for record in records]
        await self._read_grants("grants_of_accounts", ids)
        rows = await self._fetch("bookings_of_accounts", ids)
        await self._read_bookings((row["account_id"], row["booking_id"]) for row in rows)
        await self._read_facts("facts_of_accounts", ids)
        for record in records:
            record.reach.whole = True

    async def _read_usable_grants(self, after: Mapping[str, datetime]) -> None:
        if not after:
            return
        await self._read_grants("grants_ending_after", list(after), list(after.values()))
        for account_id, instant in after.items():
            reach = self.records[account_id].reach
            reach.grants_after = min(reach.grants_after or instant, instant)

    async def _read_facts(self, name: str, *arguments: object) -> None:
        """Read facts by subject; subjects that the batch has already added to stay as they are."""
        if not arguments[0]:
            return
        by_subject: dict[Pair, list[Fact]] = defaultdict(list)
        for row in await self._fetch(name, *arguments):
            fact = self._read_fact(row["type"], row["occurred_at"], row["payload"])
            if row["answer"] is not None:
                fact = with_answer(fact, row["answer"])
            by_subject[row["account_id"], row["subject"]].append(fact)
        for (account_id, subject), facts in by_subject.items():
            if subject not in self.records[account_id].facts:
                self.records[account_id].put_facts(subject, facts)

    async def _read_bookings(self, pairs: Iterable[Pair]) -> None:
        """Read whole bookings that are not in the record yet, with the grants they take from.

        Also those that a line took from when it was closed: it may need them again.
        """
        unread = sorted({(a, b) for a, b in pairs if b not in self.records[a].lines})
        if not unread:
            return
        for account_id, booking_id in unread:
            self.records[account_id].lines[booking_id] = ()
        takes: set[Pair] = set()
        for row in await self._fetch("charges_of_bookings", *_columns(unread)):
            record = self.records[row["account_id"]]
            if row["said"] is not None:
                closed = closed_line_from(json.loads(row["said"]), row["until"])
                record.put_closed((closed,))
                takes.update((row["account_id"], take.grant_id) for take in closed.takes)
            if row["line_no"] is None:
                continue
            charge = charge_from(row)
            record.put_charge(charge.key, charge)
            takes.update((row["account_id"], take.grant_id) for take in charge.coverage.takes)
        for row in await self._fetch("obligations_of_bookings", *_columns(unread)):
            obligations = self.records[row["account_id"]].obligations
            key = (row["booking_id"], row["line_no"])
            obligations[key] = (*obligations.get(key, ()), obligation_from(row))
        await self._read_grants("grants_by_id", *_columns(self._unread_grants(takes)))

    async def _read_grants(self, name: str, *arguments: list[Any]) -> None:
        if not arguments[0]:
            return
        for row in await self._fetch(name, *arguments):
            record = self.records[row["account_id"]]
            if row["grant_id"] not in record.grants and row["grant_id"] not in record.gone:
                record.put_grants((grant_from(row),))
                record.reach.last_taken[row["grant_id"]] = row["last_taken"]

    def _unread_grants(self, pairs: Iterable[Pair]) -> list[Pair]:
        return sorted({(a, g) for a, g in pairs if g not in self.records[a].grants})

    def _earliest(
        self, starts: Mapping[str, datetime], account_ids: Iterable[str]
    ) -> dict[str, datetime]:
        """Find the earliest service start among what is asked and on record with it.

        Accounts whose grants are read from there on already are left out.
        """
        earliest: dict[str, datetime] = {}
        for account_id in account_ids:
            record = self.records[account_id]
            after = record.reach.grants_after
            known = (starts.get(account_id), record.first_start)
            start = min((instant for instant in known if instant is not None), default=None)
            if start is not None and (after is None or start < after):
                earliest[account_id] = start
        return earliest

    def _record(self, row: Mapping[str, Any], numbers: Numbers) -> AccountRecord:
        record = AccountRecord(
            row["account_id"], self._book, whole=False, timelines=self._timelines
        )
        record.numbers = numbers
        record.present = row["present"]
        record.monthly = tuple(row["monthly"])
        record.closed_through = through = row["closed_through"]
        if through is not None:
            # Of the closings, too.
            last = PeriodClosed(through.date(), through, through)
            record.put_facts(CLOSING_SUBJECT, (last,))
        if record.present is not None:
            # Of the clock's facts only the latest says anything.
            record.put_facts(CLOCK_SUBJECT, (TimePassed(record.present),))
        return record

    async def _fetch(self, name: str, *arguments: object) -> list[Any]:
        rows = await self._connection.fetch(_SQL[name], *arguments)
        self.rows_read += len(rows)
        return rows


def _numbers(row: Mapping[str, Any]) -> Numbers:
    last = tuple(row[column] for column in LAST_OF_KINDS)
    return Numbers(row["fact_no"], row["entry_no"], row["sequence"], last)


def _columns(pairs: Iterable[Pair]) -> tuple[list[str], list[str]]:
    ordered = sorted(pairs)
    return [pair[0] for pair in ordered], [pair[1] for pair in ordered]
