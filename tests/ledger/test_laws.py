"""The laws of the ledger, each held against generated histories of an account."""

from collections import Counter
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from inspect import isfunction
from itertools import islice, pairwise
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import (
    KINDS,
    BalanceChanged,
    CoverageDecided,
    Obligation,
    ObligationKey,
    OverageDetected,
)
from booking_credits.ledger.buckets import BUCKETS, Buckets
from booking_credits.ledger.charges import Charge, LineKey
from booking_credits.ledger.cover import Covered, cover
from booking_credits.ledger.entries import Entry, GrantRecord
from booking_credits.ledger.facts import Fact, Line
from booking_credits.ledger.grants import Grant, Removal
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.settlement import settle
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    at,
    post,
    time_passed,
)
from ledger.histories import IN_BOOKING_ORDER, books, crowded_histories, histories
from ledger.loading import Loader, widening_after

_Content = TypeVar("_Content", BalanceChanged, CoverageDecided, OverageDetected)


@dataclass(frozen=True)
class History:
    """Facts in an order of arrival, and what they came to, settled one after the other.

    Some laws repeat them in another order, by `random`, or in batches of some `sizes`, of which no
    more than a `chunk` is loaded at once.
    """

    book: PolicyBook
    facts: list[Fact]
    random: Random
    chunk: int
    sizes: list[int]
    record: AccountRecord
    outcomes: list[Outcome]


@st.composite
def _settled(
    draw: st.DrawFn, books: st.SearchStrategy[PolicyBook], told: st.SearchStrategy[list[Fact]]
) -> History:
    """Draw a history, which is what takes the time, once for all the laws."""
    book, facts = draw(books), draw(told)
    random, chunk = draw(st.randoms(use_true_random=True)), draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(1, 6), max_size=8))
    record = AccountRecord(ACCOUNT, book)
    return History(book, facts, random, chunk, sizes, record, post(record, facts))


def order_and_repetition_of_facts_change_nothing(history: History) -> None:
    """Law 1: any order and any repetition of the same facts and answers ends in the same state."""
    told, random = _told(history.outcomes), history.random
    again = [*told, *random.choices(told, k=len(told))]
    random.shuffle(again)
    actual = AccountRecord(ACCOUNT, history.book)
    post(actual, again, is_answered=True)
    assert _state(history.record) == _state(actual)


def settling_fact_by_fact_is_covering_all_of_them(history: History) -> None:
    """Laws 1 and 6: after every fact the record is what the facts so far come to at once."""
    record = AccountRecord(ACCOUNT, history.book)
    told: list[Fact] = []
    for fact in history.facts:
        told += _told(post(record, [fact]))
        assert _covered(cover(told, history.book)) == _state(record)


def cover_knows_no_order(history: History) -> None:
    """Law 1: the definition itself reads facts in whatever order and however often given."""
    told = _told(history.outcomes)
    again = [*told, *told]
    history.random.shuffle(again)
    assert cover(told, history.book) == cover(again, history.book)


def entries_move_quantities_between_buckets(history: History) -> None:
    """Law 2: every grant's buckets are the fold of its entries, sum up, and are never negative."""
    record, outcomes = history.record, history.outcomes
    folded: dict[str, dict[str, int]] = {}
    for entry in _entries(outcomes):
        assert entry.quantity > 0
        assert entry.source != entry.target
        buckets = folded.setdefault(entry.grant_id, dict.fromkeys(BUCKETS, 0))
        buckets[entry.source] -= entry.quantity
        buckets[entry.target] += entry.quantity
        assert all(quantity >= 0 for name, quantity in buckets.items() if name != "granted")
    for buckets in folded.values():
        assert 0 == sum(buckets.values())
        buckets["granted"] = -buckets["granted"]
    for grant_id, buckets in folded.items():
        held = record.grants.get(grant_id)
        assert buckets == _quantities(Buckets() if held is None else held.buckets)
    untouched = [r.buckets for i, r in record.grants.items() if i not in folded]
    assert [Buckets()] * len(untouched) == untouched


def a_finite_grant_has_granted_what_it_says(history: History) -> None:
    """Law 2: a grant that counts grants its quantity, or without one what was taken.

    It is never less than closed lines keep of it.
    """
    whole = history.record
    kept: Counter[str] = Counter()
    for charge in whole.charges.values():
        kept.update({take.grant_id: take.quantity for take in charge.kept})
    for record in whole.grants.values():
        taken = record.buckets.held + record.buckets.drawn
        promised = taken if record.grant.quantity is None else record.grant.quantity
        promised = max(promised, kept[record.grant.grant_id])
        assert (0 if record.grant.pending else promised) == record.buckets.granted


def no_overage_while_a_grant_that_may_pay_has_a_rest(history: History) -> None:
    """Law 3: a line is short only where every grant that might pay it is used up."""
    record = history.record
    for charge in record.charges.values():
        if charge.eligible and charge.coverage.uncovered != (0, 1):
            assert [] == [g for g in record.grants.values() if _might_still_pay(g, charge)]


def a_line_pays_its_costs_exactly(history: History) -> None:
    """Law 3: takes come from grants that may pay, and never exceed what the line costs."""
    record = history.record
    for charge in record.charges.values():
        costs = dict(charge.line.costs)
        taken: dict[str, int] = {}
        for take in charge.coverage.takes:
            grant = record.grants[take.grant_id].grant
            assert _may_pay(grant, charge) or take in charge.kept
            taken[grant.unit] = taken.get(grant.unit, 0) + take.quantity
        assert all(0 < quantity <= costs[unit] for unit, quantity in taken.items())


def every_entry_and_every_uncovered_part_is_explained(history: History) -> None:
    """Law 4: entries name their grant and line, uncovered parts their reasons."""
    for outcome in history.outcomes:
        for _, entry in outcome.entries:
            assert entry.grant_id in outcome.grants
            of_line = {entry.source, entry.target} & {"held", "drawn"}
            assert bool(of_line) == (entry.line_key is not None)
        for announcement in outcome.announcements:
            _assert_explained(announcement.content)


def a_line_short_of_credits_names_the_grants_that_refused(history: History) -> None:
    """Law 4: the last decision on a booking gives, by reason, every grant valid at its start."""
    record, outcomes = history.record, history.outcomes
    for outcome in outcomes[-1:]:
        for decided in _contents(outcome, CoverageDecided):
            for line in decided.lines:
                refused = {i for refusal in line.refusals for i in refusal.grant_ids}
                valid = {
                    i
                    for i, r in record.grants.items()
                    if r.grant.from_at <= line.charge.line.starts_at
                    and (r.grant.to_at is None or line.charge.line.starts_at < r.grant.to_at)
                }
                assert not line.charge.short or valid <= refused


def a_quote_is_the_settlement_thrown_away(history: History) -> None:
    """Law 6: asking what a fact would change changes nothing, and says what it then changes."""
    record, last = AccountRecord(ACCOUNT, history.book), history.facts[-1]
    post(record, history.facts[:-1])
    if admit(record.facts_of(last.subject), last) == "accepted":
        before = deepcopy((_state(record), record.numbers, record.facts))
        quote = settle(record, last)
        assert before == (_state(record), record.numbers, record.facts)
        assert _comparable(history.outcomes[-1]) == _comparable(quote)


def balances_fold_from_their_events(history: History) -> None:
    """Law 7: the changes of balance fold to the balances, each beginning where one ended."""
    record, outcomes = history.record, history.outcomes
    folded: dict[str, Buckets] = {}
    for outcome in outcomes:
        for changed in _contents(outcome, BalanceChanged):
            assert folded.get(changed.unit, Buckets()) == changed.before
            folded[changed.unit] = changed.after
    assert folded == record.balances


def obligations_fold_from_their_events(history: History) -> None:
    """Law 7: the changes of overage fold to what is owed; revisions count from 1 upwards."""
    record, outcomes = history.record, history.outcomes
    totals: dict[ObligationKey, tuple[int, int]] = {}
    latest: dict[ObligationKey, Obligation] = {}
    for outcome in outcomes:
        for detected in _contents(outcome, OverageDetected):
            key = detected.obligation.key
            revision, total = totals.get(key, (0, 0))
            totals[key] = (revision + 1, total + detected.change_minor)
            latest[key] = detected.obligation
            expected = (detected.obligation.revision, detected.obligation.total_minor)
            assert expected == totals[key]
    assert latest == {o.key: o for held in record.obligations.values() for o in held}


def sequences_prove_that_nothing_was_missed(history: History) -> None:
    """Law 7: announcements and entries are numbered without gaps, each kind is a chain."""
    record, outcomes = history.record, history.outcomes
    announcements = [a for outcome in outcomes for a in outcome.announcements]
    assert list(range(1, len(announcements) + 1)) == [a.sequence for a in announcements]
    numbers = [number for outcome in outcomes for number, _ in outcome.entries]
    assert list(range(1, record.numbers.entry + 1)) == numbers
    assert list(range(1, len(outcomes) + 1)) == [outcome.numbers.fact for outcome in outcomes]
    for kind in KINDS:
        of_kind = [a for a in announcements if a.kind == kind]
        assert all(a.sequence == b.previous_sequence for a, b in pairwise(of_kind))
        assert [0] == [a.previous_sequence for a in of_kind[:1]] or not of_kind


def decisions_fold_to_the_coverage(history: History) -> None:
    """Law 7: who reads only what was decided knows how every line is paid."""
    record, outcomes = history.record, history.outcomes
    decided: dict[str, dict[LineKey, Any]] = {}
    for outcome in outcomes:
        for content in _contents(outcome, CoverageDecided):
            lines = [line.charge for line in content.lines]
            decided[content.booking_id] = {c.key: (c.line, c.coverage) for c in lines}
    folded = {key: paid for lines in decided.values() for key, paid in lines.items()}
    assert folded == {key: (c.line, c.coverage) for key, c in record.charges.items()}


def a_rebuild_repeats_every_entry(history: History) -> None:
    """Law 8: the same facts with their answers, in their order, give the same outcomes."""
    expected = history.outcomes
    actual = post(AccountRecord(ACCOUNT, history.book), _told(expected), is_answered=True)
    assert [_comparable(o) for o in expected] == [_comparable(o) for o in actual]


def the_same_fact_twice_is_a_duplicate(history: History) -> None:
    """Law 9: every fact on record is told apart from news."""
    record = history.record
    for fact in history.facts:
        assert "duplicate" == admit(record.facts_of(fact.subject), fact)


def neither_batches_nor_loading_can_be_seen(history: History) -> None:
    """Law 11: a record fed piece by piece, batch by batch, gives the outcomes of the whole."""
    store = AccountRecord(ACCOUNT, history.book)
    actual: list[Outcome] = []
    for batch in _batches(history.facts, history.sizes):
        loader = Loader(store, history.chunk)
        with widening_after(3 - history.chunk):
            outcomes = [o for fact in batch if (o := loader.post(fact)) is not None]
        for outcome in outcomes:
            store.accept(outcome)
        actual += outcomes
    expected = history.outcomes
    assert [_comparable(o) for o in expected] == [_comparable(o) for o in actual]


LAWS: tuple[Callable[[History], None], ...] = (
    order_and_repetition_of_facts_change_nothing,
    settling_fact_by_fact_is_covering_all_of_them,
    cover_knows_no_order,
    entries_move_quantities_between_buckets,
    a_finite_grant_has_granted_what_it_says,
    no_overage_while_a_grant_that_may_pay_has_a_rest,
    a_line_pays_its_costs_exactly,
    every_entry_and_every_uncovered_part_is_explained,
    a_line_short_of_credits_names_the_grants_that_refused,
    a_quote_is_the_settlement_thrown_away,
    balances_fold_from_their_events,
    obligations_fold_from_their_events,
    sequences_prove_that_nothing_was_missed,
    decisions_fold_to_the_coverage,
    a_rebuild_repeats_every_entry,
    the_same_fact_twice_is_a_duplicate,
    neither_batches_nor_loading_can_be_seen,
)


@pytest.mark.timeout(900)
@settings(max_examples=4 * settings().max_examples)
@given(_settled(books, histories()))
def test_every_law_holds_in_every_history(history: History) -> None:
    """In twelve hundred histories where CI runs, each with closings."""
    for law in LAWS:
        law(history)


@pytest.mark.timeout(900)
@settings(max_examples=4 * settings().max_examples)
@given(_settled(st.just(IN_BOOKING_ORDER), crowded_histories()))
def test_every_law_holds_where_many_want_the_same(history: History) -> None:
    """Who booked first is served first, also where another may have less of the same grant."""
    for law in LAWS:
        law(history)


def test_no_law_is_left_out() -> None:
    """Whatever is said of a history here is asked of every one."""
    said = [f for f in globals().values() if isfunction(f) and "history" in f.__annotations__]
    assert list(LAWS) == [f for f in said if not f.__name__.startswith("test_")]


@pytest.mark.parametrize("act", ["book", "cancel", "grant more", "let time pass"])
def test_a_posting_costs_what_it_touches(act: str) -> None:
    """Law 10: among a hundred times as many lines a fact loads no more of them."""
    few, many = _charges_loaded(act, 1_000), _charges_loaded(act, 100_000)
    assert few == many
    assert many < 100


def _charges_loaded(act: str, lines: int) -> int:
    """Count the charges that a fact loads among hourly lines of one credit, 500 of them covered."""
    facts: dict[str, Fact] = {
        "book": a_booking("new", _hourly(10), occurred="2019-12-01 00:00"),
        "cancel": a_cancellation("b0000010", occurred="2019-12-02 00:00"),
        "grant more": a_grant("more", 5, unit="credit", valid_to="2021-01-01 00:00", **_BACKDATED),
        "let time pass": time_passed("2020-01-01 00:00"),
    }
    loader = Loader(_busy_account(lines), chunk=20)
    outcome = loader.post(facts[act])
    assert outcome is not None
    assert outcome.charges
    return loader.charges_loaded


_BACKDATED: Any = {"granted": "2019-12-01 00:00", "valid_from": "2020-01-01 00:00"}


@cache
def _busy_account(lines: int) -> AccountRecord:
    book = a_book(policy="packs")
    facts: list[Fact] = [
        a_booking(f"b{number:07}", _hourly(number), occurred="2019-12-01 00:00")
        for number in range(lines)
    ]
    facts.append(a_grant("pack", 500, unit="credit", **_BACKDATED))
    covered = cover(facts, book)
    record = AccountRecord(ACCOUNT, book)
    for fact in facts:
        record.put_facts(fact.subject, [fact])
    record.put_grants(covered.grants.values())
    for key, charge in covered.charges.items():
        record.put_charge(key, charge)
    return record


def _hourly(number: int) -> Line:
    return a_line(starts=at("2020-01-01 00:00") + timedelta(hours=number), costs={"credit": 1})


def _told(outcomes: Iterable[Outcome]) -> list[Fact]:
    """List the facts on record, with the answers that they were given."""
    return [outcome.fact for outcome in outcomes]


def _state(record: AccountRecord) -> dict[str, Any]:
    """Say what is on record, apart from how it came about."""
    held = [o for obligations in record.obligations.values() for o in obligations]
    assert [] == [o for o in held if not o.is_open and o.total_minor]
    owed = {
        (o.key.booking_id, o.key.line_no): (
            *(o.key.period_start, o.period_end, o.zone),
            *(o.key.channel, o.key.currency, o.total_minor),
        )
        for o in held
        if o.is_open
    }
    assert len(owed) == len([o for o in held if o.is_open])
    balances = {unit: b for unit, b in record.balances.items() if b != Buckets()}
    return {"charges": record.charges, "grants": record.grants, "owed": owed, "balances": balances}


def _covered(covered: Covered) -> dict[str, Any]:
    """Say what facts come to, in the shape of `_state`."""
    balances: dict[str, Buckets] = {}
    for record in covered.grants.values():
        unit = record.grant.unit
        balances[unit] = _sum(balances.get(unit, Buckets()), record.buckets)
    return {
        "charges": covered.charges,
        "grants": covered.grants,
        "owed": {
            key: (o.period_start, o.period_end, o.zone, o.channel, o.currency, o.total_minor)
            for key, o in covered.owed.items()
        },
        "balances": {unit: b for unit, b in balances.items() if b != Buckets()},
    }


def _sum(one: Buckets, other: Buckets) -> Buckets:
    return Buckets(*(getattr(one, name) + getattr(other, name) for name in BUCKETS))


def _quantities(buckets: Buckets) -> dict[str, int]:
    return {name: getattr(buckets, name) for name in BUCKETS}


def _entries(outcomes: Iterable[Outcome]) -> list[Entry]:
    return [entry for outcome in outcomes for _, entry in outcome.entries]


def _contents(outcome: Outcome, kind: type[_Content]) -> list[_Content]:
    return [a.content for a in outcome.announcements if isinstance(a.content, kind)]


def _comparable(outcome: Outcome) -> str:
    """Write an outcome down, mappings sorted; what its timeline is shows in everything else."""
    mappings = (outcome.charges, outcome.grants, outcome.obligations, outcome.balances)
    return repr(
        (
            *(outcome.fact, outcome.numbers, outcome.present, outcome.entries),
            *(sorted(mapping.items()) for mapping in map(_text_keys, mappings)),
            outcome.announcements,
        )
    )


def _text_keys(mapping: Any) -> dict[str, str]:
    return {repr(key): repr(value) for key, value in mapping.items()}


def _may_pay(grant: Grant, charge: Charge) -> bool:
    """Say by the letter whether a grant may pay a charge."""
    line, scope = charge.line, grant.scope
    return (
        not grant.pending
        and grant.from_at <= line.starts_at
        and (grant.to_at is None or line.starts_at < grant.to_at)
        and dict(line.costs).get(grant.unit, 0) > 0
        and (scope.resources == () or line.resource in scope.resources)
        and (scope.product_groups == () or line.product_group in scope.product_groups)
        and (scope.locations == () or line.location in scope.locations)
    )


def _might_still_pay(record: GrantRecord, charge: Charge) -> bool:
    grant = record.grant
    booked_at = charge.standing.booked_at
    removed = [removal for removal in grant.removals if removal.at <= booked_at]
    if grant.quantity is None:
        return removed == [] and _may_pay(grant, charge)
    rolls_at = grant.rolls_at
    if rolls_at is None or grant.roll_cap is None or charge.line.starts_at < rolls_at:
        left = record.buckets.rest - _sum_of(removed, grant)
        return left > 0 and _may_pay(grant, charge)
    before = _sum_of([removal for removal in removed if removal.at < rolls_at], grant)
    since = _sum_of([removal for removal in removed if removal.at >= rolls_at], grant)
    left = min(record.buckets.rest - before, grant.roll_cap - record.rolled) - since
    return left > 0 and _may_pay(grant, charge)


def _sum_of(removals: Iterable[Removal], grant: Grant) -> int:
    whole = grant.quantity or 0
    return min(whole, sum(whole if r.quantity is None else r.quantity for r in removals))


def _assert_explained(content: object) -> None:
    if isinstance(content, OverageDetected) and content.obligation.is_open:
        assert content.refusals
    if isinstance(content, CoverageDecided):
        for line in content.lines:
            assert line.charge.short == bool(line.refusals)


def _batches(facts: list[Fact], sizes: list[int]) -> list[list[Fact]]:
    """Cut facts into batches of these sizes, the rest one by one."""
    rest = iter(facts)
    batches = [list(islice(rest, size)) for size in sizes]
    return [*batches, *([fact] for fact in rest)]
