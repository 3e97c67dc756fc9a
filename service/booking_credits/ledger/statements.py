"""Statements: what happened to an account's credits from where the last period ended to an end.

An entry is stated once, in the period in which it takes effect, and as an adjustment where its fact
occurred in a period that was closed before it was posted. So a statement begins where the one
before it ended. What is owed for a line is stated once, too: all of it when the line is closed for
the first time, and from then on what has changed since the last close.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from booking_credits.ledger.announcements import (
    OverageDetected,
    PeriodStatement,
    StatedOverage,
    StatedUnit,
)
from booking_credits.ledger.facts import PeriodClosed
from booking_credits.ledger.needs import NotLoaded
from booking_credits.ledger.postings import Flow, Owing, PostedAround, Sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.announcements import Content, Obligation
    from booking_credits.ledger.buckets import Buckets
    from booking_credits.ledger.charges import LineKey
    from booking_credits.ledger.entries import Entry
    from booking_credits.ledger.facts import Channel
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.ledger.postings import Part

_LAST_MOMENT = timedelta(microseconds=1)


def statement(
    record: AccountRecord,
    fact: PeriodClosed,
    obligations: Mapping[LineKey, tuple[Obligation, ...]],
    contents: Iterable[Content],
) -> PeriodStatement:
    """State the period that a fact closes, which leads to obligations and tells contents itself.

    Raises `NotLoaded` where the record lacks what was posted before.
    """
    since, postings = record.closed_through, record.postings
    asked = PostedAround(since, fact.ends_at, postings.closed_fact)
    if not postings.whole and asked not in postings.sums:
        raise NotLoaded(asked)
    known = postings.sums.get(asked, Sums())
    flows = [*known.flows, *_flows(record, asked)]
    news = (
        announcement.content
        for outcome in postings.outcomes
        if _is_news(outcome, asked)
        for announcement in outcome.announcements
    )
    first = {line.key for line in fact.lines or ()} - record.closed.keys()
    owing = [
        *known.owing,
        *_changed(record, [*news, *contents], since),
        *_owed((obligations.get(k, record.obligations.get(k, ())) for k in first), since),
    ]
    period = record.timeline.period_at(fact.ends_at - _LAST_MOMENT)
    units = (_state(unit, buckets, flows) for unit, buckets in sorted(record.balances.items()))
    return PeriodStatement(
        fact.period_start, period.end_date, period.zone, tuple(units), tuple(_overages(owing))
    )


def _flows(record: AccountRecord, asked: PostedAround) -> Iterator[Flow]:
    for outcome in record.postings.outcomes:
        is_news = _is_news(outcome, asked)
        for _, entry in outcome.entries:
            part = _part_of(entry, outcome, asked)
            if part != "late" or is_news:
                unit = _unit_of(entry.grant_id, record)
                yield Flow(unit, entry.source, entry.target, part, entry.quantity)


def _unit_of(grant_id: str, record: AccountRecord) -> str:
    known = record.grants.get(grant_id)
    return (record.gone[grant_id] if known is None else known.grant).unit


def _part_of(entry: Entry, outcome: Outcome, asked: PostedAround) -> Part:
    """Tell where an entry is stated; what expires at a period's end expires within it."""
    is_expiry = (entry.source, entry.target, entry.line_key) == ("available", "expired", None)
    at = outcome.effective_at - _LAST_MOMENT if is_expiry else outcome.effective_at
    if at >= asked.ends_at:
        return "later"
    # What occurred before the last close took effect just when that period ended.
    told_at = outcome.fact.occurred_at if outcome.effective_at == asked.since else at
    return "within" if asked.since is None or min(at, told_at) >= asked.since else "late"


def _is_news(outcome: Outcome, asked: PostedAround) -> bool:
    return asked.closed_fact is None or outcome.numbers.fact > asked.closed_fact


def _changed(
    record: AccountRecord, contents: Iterable[Content], since: datetime | None
) -> Iterator[Owing]:
    """Give what changed for lines that were closed before."""
    for content in contents:
        if isinstance(content, OverageDetected):
            key = content.obligation.key
            if (key.booking_id, key.line_no) in record.closed:
                yield from _owe(content.obligation, content.change_minor, since)


def _owed(lines: Iterable[tuple[Obligation, ...]], since: datetime | None) -> Iterator[Owing]:
    """Give all that is owed for lines which are closed for the first time."""
    for obligations in lines:
        for obligation in obligations:
            yield from _owe(obligation, obligation.total_minor, since)


def _owe(obligation: Obligation, change_minor: int, since: datetime | None) -> Iterator[Owing]:
    key = obligation.key
    if key.currency is not None:
        is_late = since is not None and obligation.starts_at < since
        yield Owing(key.currency, key.channel, is_late, change_minor)


@dataclass(slots=True)
class _Column:
    """What one unit's flows come to: by bucket in the period, and altogether."""

    moved: dict[str, int]
    adjusted: int = 0
    later: int = 0


def _state(unit: str, buckets: Buckets, flows: Iterable[Flow]) -> StatedUnit:
    """State a unit; what is not yet used is its balance."""
    column = _Column(dict.fromkeys(("granted", "drawn", "expired", "removed"), 0))
    for flow in flows:
        if flow.unit == unit:
            _add(column, flow)
    moved = column.moved
    closing = buckets.available + buckets.held - column.later
    change = -sum(moved.values()) + column.adjusted
    return StatedUnit(
        unit,
        closing - change,
        -moved["granted"],
        moved["drawn"],
        moved["expired"],
        moved["removed"],
        column.adjusted,
        closing,
    )


def _add(column: _Column, flow: Flow) -> None:
    signed = ((flow.source, -flow.quantity), (flow.target, flow.quantity))
    change = sum(quantity for bucket, quantity in signed if bucket in _UNUSED)
    if flow.part == "later":
        column.later += change
    elif flow.part == "late":
        column.adjusted += change
    else:
        for bucket, quantity in signed:
            if bucket in column.moved:
                column.moved[bucket] += quantity


_UNUSED = ("available", "held")


def _overages(owing: Iterable[Owing]) -> Iterator[StatedOverage]:
    """Sum up what is owed for lines of the period, and what changed for lines of earlier ones."""
    totals: dict[tuple[str, Channel], list[int]] = {}
    for change in owing:
        total = totals.setdefault((change.currency, change.channel), [0, 0])
        total[change.is_late] += change.change_minor
    for (currency, channel), (owed, adjusted) in sorted(totals.items()):
        if owed or adjusted:
            yield StatedOverage(currency, channel, owed, adjusted)
