"""Poison: what cannot be posted is set aside with its reason, and its neighbours never notice."""

import json
from dataclasses import replace

from builders import a_booking, a_grant, a_line
from journey.checker import check
from journey.load import Event, event_of, make_load
from journey.stage import Stage, connected

BATCH = 1000
SECRET = "kept-out-of-the-log"
KNOWN = f"known-{SECRET}"


async def test_poison_in_a_batch_of_a_thousand_harms_no_neighbour(narrow_stage: Stage) -> None:
    """All kinds of it in one batch: neighbours are posted, reasons kept, and no payload logged."""
    poison = _poison()
    load = make_load(60, seed=17)[: BATCH - len(poison) - 1]
    good = [event_of(a_booking(KNOWN), "known"), *load]
    middle = len(good) // 2
    await narrow_stage.send([*good[:middle], *(event for _, event in poison), *good[middle:]])
    async with connected(narrow_stage.dsn) as connection:
        await connection.execute(
            "alter table charges add constraint none_is_refused check (resource <> 'refused')"
        )
    worker = narrow_stage.start_worker(batch_records=BATCH)
    await narrow_stage.settled()
    await narrow_stage.stop_workers()

    letters = await narrow_stage.fetch(
        "select reason, value from dead_letters order by record_offset"
    )
    expected = [(reason, event.record.value) for reason, event in poison]
    assert expected == [(row["reason"], row["value"]) for row in letters]
    batches = await narrow_stage.fetch(
        "select distinct recorded_at from facts where source <> 'booking-credits/clock'"
    )
    assert 1 == len(batches)
    assert sorted(reason for reason, _ in poison) == sorted(
        line["reason"] for line in worker.logged("dead_letter")
    )
    assert SECRET not in worker.log
    await check(narrow_stage, good)


def _poison() -> list[tuple[str, Event]]:
    """Make events that cannot be posted, each with the reason for it."""
    known = event_of(a_booking(KNOWN), "known")
    other = a_booking(KNOWN, a_line(costs={"coin": 1}))
    return [
        ("empty_value", _saying("tombstone", None)),
        ("not_json", _saying("torn", b'{"account_id": "' + SECRET.encode())),
        ("schema", _changed("nul", reason=f"{SECRET}\0")),
        ("schema", _changed("overflow", priority=2**63)),
        ("schema", _changed("not-a-number", quantity="NaN")),
        ("unknown_unit", _changed("unit", unit="acorn")),
        ("unknown_type", _named(_unheard("type"), "ce_type", SECRET.encode())),
        ("not_utf8", _named(_unheard("bytes"), "ce_source", b"\xff" + SECRET.encode())),
        ("event_conflict", _named(event_of(other, "known"), "ce_id", known.event_id.encode())),
        ("revision_conflict", event_of(other, "known")),
        ("other_account", event_of(a_booking(KNOWN), "stranger")),
        ("rows_refused", event_of(a_booking("b", a_line(resource="refused")), "known")),
    ]


def _unheard(name: str) -> Event:
    """Give credits that no one will ever get."""
    return event_of(a_grant(f"{name}-{SECRET}"), f"account-{SECRET}")


def _saying(name: str, value: bytes | None) -> Event:
    event = _unheard(name)
    return replace(event, record=replace(event.record, value=value))


def _changed(name: str, **fields: object) -> Event:
    record = _unheard(name).record
    assert record.value is not None
    return _saying(name, json.dumps(json.loads(record.value) | fields).encode())


def _named(event: Event, name: str, value: bytes) -> Event:
    headers = tuple((n, value if n == name else v) for n, v in event.record.headers)
    return replace(event, record=replace(event.record, headers=headers))
