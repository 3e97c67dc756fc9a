"""The arrivals that other tests post say what real events would say."""

from hypothesis import given

from booking_credits.inbox.reading import hash_of, read_fact
from booking_credits.ledger.facts import Fact, PeriodClosed, TimePassed
from builders import ACCOUNT, a_book
from ledger.histories import histories
from postgres.arrivals import arrival, as_published


@given(histories())
def test_arrivals_read_as_the_facts_they_were_made_of(history: list[Fact]) -> None:
    """Every fact survives being published, read, kept and read again."""
    for fact in map(as_published, history):
        made = arrival(fact)
        assert (ACCOUNT, fact) == (made.account_id, made.fact)
        assert fact == read_fact(made.type, fact.occurred_at, made.payload, a_book())


@given(histories())
def test_arrivals_are_told_apart_by_their_content(history: list[Fact]) -> None:
    """The same fact comes by the same event, and no other fact does; the clock's come by none."""
    published = map(as_published, history)
    told = [fact for fact in published if not isinstance(fact, TimePassed | PeriodClosed)]
    by_event = {arrival(fact).event_id: fact for fact in told}
    assert len(set(told)) == len(by_event)
    for fact in told:
        made = arrival(fact)
        assert made.payload_hash == hash_of(made.type, fact.occurred_at, made.payload)
