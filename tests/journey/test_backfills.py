"""Backfills: a year that is told at once, in any order, ends as it would have live."""

from dataclasses import replace
from datetime import UTC, datetime

from booking_credits.policy_file import load_policies
from clock.year import a_year, ledger_of, seeded, state_of
from journey.checker import check
from journey.load import TOPICS, event_of
from journey.stage import Stage
from ledger.living import live

POLICIES = ("coins", "tenant-credits", "packs")
YEAR = 2024


async def test_a_year_sent_in_any_order_ends_as_it_would_have_live(stage: Stage) -> None:
    """By whatever topics it comes, to two workers, with the clock beside it."""
    random = seeded(31)
    years = {
        f"{policy}-{number}": a_year(random, f"{policy}-{number}-", policy=policy, year=YEAR)
        for policy in POLICIES
        for number in range(2)
    }
    load = [event_of(fact, account_id) for account_id, facts in years.items() for fact in facts]
    shuffled = [
        replace(event, topic=random.choice(TOPICS)) for event in random.sample(load, len(load))
    ]
    for _ in range(2):
        stage.start_worker(batch_records=40)
    await stage.send(shuffled)
    await stage.settled()
    await stage.stop_workers()

    now, book = datetime.now(UTC), load_policies()
    lived = {account_id: live(book, facts, now) for account_id, facts in years.items()}
    assert {account_id: state_of(record, account_id) for account_id, record in lived.items()} == {
        account_id: (await ledger_of(stage, account_id))["state"] for account_id in years
    }
    await check(stage, load)
