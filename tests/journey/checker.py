"""Checker: what a journey left behind is what the pure core answers to the facts that were sent.

Nothing lost, nothing doubled: the facts on record are those sent. Settled one after the other, as
recorded, they announce what was published, byte for byte and in order. Taken all at once, in
whatever order, they come to the charges, grants and debts in the database.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

from aiokafka import ConsumerRecord

from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.answers import with_answer
from booking_credits.ledger.buckets import BUCKETS
from booking_credits.ledger.cover import Covered, cover
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.settlement import settle
from booking_credits.outbox.rendering import render
from booking_credits.policy_file import load_policies
from booking_credits.postgres.audit import StoredFact
from booking_credits.posting.batch import CLOCK_SOURCE, Arrival
from booking_credits.verify.verification import verify
from journey.load import Event
from journey.stage import Stage

Published: TypeAlias = tuple[int, int, str, str, bytes]
Rows: TypeAlias = set[tuple[Any, ...]]

_FACTS = """
select account_id, fact_no, type, source, event_id, occurred_at, recorded_at, payload,
    payload_hash, answer
from facts order by account_id collate "C", fact_no
"""
_CHARGES = """
select account_id, booking_id, line_no, rank, drawn, takes::text, uncovered from charges
"""
_GRANTS = """
select account_id, grant_id, granted, available, held, drawn, expired, removed from grants
where not gone
"""
_OWED = """
select account_id, booking_id, line_no, period_start, currency, channel, total_minor
from obligations where is_open
"""


@dataclass(frozen=True)
class Checked:
    """What a journey came to, for tests that expect more of it."""

    facts: int
    published: int
    repeated: int


async def check(stage: Stage, sent: Iterable[Event]) -> Checked:
    """Check a journey that has settled, and that nothing runs on."""
    book = load_policies(None)
    told = {event.event_id: (event.account_id, event.fact) for event in sent}
    stored = [StoredFact(**row) for row in await stage.fetch(_FACTS)]
    _check_facts(told, stored, book)
    records = await stage.read_published()
    published = _first_of_each(records)
    _check_published(published, stored, book)
    await _check_coverage(stage, stored, book)
    violations = await verify(stage.dsn, book, _say_nothing)
    assert [] == violations, violations
    return Checked(len(told), len(published), len(records) - len(published))


def _say_nothing(stage: str, done: int, total: int) -> None:
    """Take no notice of how far it has come."""


def _check_facts(
    told: Mapping[str, tuple[str, Fact]], stored: Sequence[StoredFact], book: PolicyBook
) -> None:
    """Every fact sent is on record once, as it was sent; beside them is only the clock."""
    times = Counter((fact.source, fact.event_id) for fact in stored)
    assert {} == {event: count for event, count in times.items() if count > 1}
    on_record = {
        fact.event_id: (fact.account_id, _read(fact, book))
        for fact in stored
        if fact.source != CLOCK_SOURCE
    }
    assert [] == sorted(told.keys() - on_record.keys())
    assert told == on_record


def _check_published(
    published: Sequence[ConsumerRecord], stored: Sequence[StoredFact], book: PolicyBook
) -> None:
    """What was published is what the facts announce, one after the other as recorded."""
    by_account: dict[str, list[ConsumerRecord]] = defaultdict(list)
    for record in published:
        by_account[record.key.decode()].append(record)
    for account_id, facts in groupby(stored, key=attrgetter("account_id")):
        expected = _announced(account_id, facts, book)
        actual = by_account.pop(account_id, [])
        assert expected == sorted(map(_event, actual))
        for _, records in groupby(sorted(actual, key=attrgetter("topic")), attrgetter("topic")):
            _check_order([_event(record) for record in records])
        assert [*range(1, 1 + len({e[0] for e in expected}))] == sorted({e[0] for e in expected})
    assert {} == by_account


def _check_order(events: Sequence[Published]) -> None:
    """A topic brings an account's events in order, each naming the one before it."""
    places = [(sequence, part) for sequence, part, *_ in events]
    assert sorted(places) == places
    sequences = sorted({sequence for sequence, _ in places})
    before = dict(zip(sequences, [0, *sequences], strict=False))
    for sequence, _, _, _, value in events:
        assert before[sequence] == json.loads(value)["previous_sequence"]


def _announced(account_id: str, stored: Iterable[StoredFact], book: PolicyBook) -> list[Published]:
    """Settle an account's facts on a whole record in memory, and render what they announce."""
    record = AccountRecord(account_id, book)
    announced = []
    for row in stored:
        fact = _read(row, book)
        arrival = Arrival(
            *(account_id, fact, row.type, row.source, row.event_id),
            *(row.payload, row.payload_hash, row.recorded_at),
        )
        outcome = settle(record, fact, is_answered=True)
        for part in render(arrival, outcome, record.grants):
            place = (part.sequence, part.part, part.type, str(part.event_id))
            announced.append((*place, part.payload.encode()))
        record.accept(outcome)
    return announced


async def _check_coverage(stage: Stage, stored: Iterable[StoredFact], book: PolicyBook) -> None:
    """The database holds what all facts come to at once."""
    facts: dict[str, list[Fact]] = defaultdict(list)
    for row in stored:
        facts[row.account_id].append(_read(row, book))
    covered = {account_id: cover(known, book) for account_id, known in facts.items()}
    charges = {tuple(row) for row in await stage.fetch(_CHARGES)}
    assert _charges(covered) == charges
    assert _grants(covered) == {tuple(row) for row in await stage.fetch(_GRANTS)}
    assert _owed(covered) == {tuple(row) for row in await stage.fetch(_OWED)}


def _charges(covered: Mapping[str, Covered]) -> Rows:
    return {
        (
            *(account_id, *key, charge.rank, charge.drawn),
            json.dumps([[take.grant_id, take.quantity] for take in charge.coverage.takes]),
            "{}/{}".format(*charge.coverage.uncovered),
        )
        for account_id, whole in covered.items()
        for key, charge in whole.charges.items()
    }


def _grants(covered: Mapping[str, Covered]) -> Rows:
    return {
        (account_id, grant_id, *(getattr(record.buckets, bucket) for bucket in BUCKETS))
        for account_id, whole in covered.items()
        for grant_id, record in whole.grants.items()
    }


def _owed(covered: Mapping[str, Covered]) -> Rows:
    return {
        (account_id, *key, owed.period_start, owed.currency or "", owed.channel, owed.total_minor)
        for account_id, whole in covered.items()
        for key, owed in whole.owed.items()
    }


def _first_of_each(records: Iterable[ConsumerRecord]) -> list[ConsumerRecord]:
    """Leave out repetitions: the same id again, which must say the same."""
    first: dict[bytes, ConsumerRecord] = {}
    for record in records:
        known = first.setdefault(dict(record.headers)["ce_id"], record)
        assert _content(known) == _content(record)
    return list(first.values())


def _content(record: ConsumerRecord) -> tuple[Any, ...]:
    return record.topic, record.partition, record.key, record.headers, record.value


def _event(record: ConsumerRecord) -> Published:
    headers = {name: value.decode() for name, value in record.headers}
    said = json.loads(record.value)
    assert record.key.decode() == headers["ce_subject"] == said["account_id"]
    place = (said["sequence"], said["part"])
    return (*place, headers["ce_type"], headers["ce_id"], record.value)


def _read(stored: StoredFact, book: PolicyBook) -> Fact:
    fact = read_fact(stored.type, stored.occurred_at, stored.payload, book)
    return with_answer(fact, stored.answer)
