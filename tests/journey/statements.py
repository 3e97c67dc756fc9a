"""Statements: those of an account add up, and each begins where the one before it ended.

What they say is held against the entries by another way than the service's own: everything that
took effect before a period's end, as far as it was known when it was closed, is what was left.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from booking_credits.policy_file import load_policies
from journey.season import ALLOTTED, RENEWED
from journey.stage import Stage

Json: TypeAlias = dict[str, Any]

# What expires as a period ends has expired within it.
_LEFT = """
select
    c.account_id,
    c.payload ->> 'period_start' as month,
    g.unit,
    sum(
        case when e.target_bucket in ('available', 'held') then e.quantity else 0 end
        - case when e.source_bucket in ('available', 'held') then e.quantity else 0 end
    )::bigint as steps
from facts as c
inner join entries as e on e.account_id = c.account_id and e.fact_no < c.fact_no
inner join grants as g on g.account_id = e.account_id and g.grant_id = e.grant_id
where c.type = 'period-closed' and (
    e.effective_at < (c.payload ->> 'ends_at')::timestamptz
    or e.effective_at = (c.payload ->> 'ends_at')::timestamptz
    and e.target_bucket = 'expired' and e.line_no is null
)
group by c.account_id, month, g.unit
"""
_CLOSED = """
select
    c.account_id,
    c.payload ->> 'period_start' as month,
    c.occurred_at as closes_at,
    array(
        select f.event_id from facts as f
        where f.account_id = c.account_id and f.fact_no > c.fact_no
    ) as told_later
from facts as c where c.type = 'period-closed'
"""
# Lines as they were closed, of bookings of which nothing was told afterwards.
_KEPT = """
select c.account_id, s.line ->> 'booking_id', s.line ->> 'line',
    (s.line -> 'takes')::text, h.closed::text, h.takes::text
from facts as c
cross join json_array_elements(c.payload -> 'lines') as s (line)
left join charges as h
    on h.account_id = c.account_id
    and h.booking_id = s.line ->> 'booking_id' and h.line_no = (s.line ->> 'line')::integer
where c.type = 'period-closed' and not exists (
    select from facts as f
    where f.account_id = c.account_id and f.fact_no > c.fact_no
        and f.payload ->> 'booking_id' = s.line ->> 'booking_id'
)
"""


async def check_statements(stage: Stage) -> dict[str, list[Json]]:
    """Check what was published of every account's periods, and return it, month by month."""
    published: dict[str, list[Json]] = defaultdict(list)
    for record in await stage.read_published():
        if dict(record.headers)["ce_type"] == b"period-closed":
            published[record.key.decode()].append(json.loads(record.value))
    left = {tuple(row)[:3]: row["steps"] for row in await stage.fetch(_LEFT)}
    units = load_policies(None).units
    for account_id, statements in published.items():
        statements.sort(key=lambda statement: int(statement["sequence"]))
        _check_chain(statements)
        for statement in statements:
            for unit in statement["units"]:
                key = account_id, statement["billing_period"]["start"], unit["unit"]
                steps = Decimal(unit["closing"]).scaleb(units[unit["unit"]].scale)
                assert left.get(key, 0) == steps, key
    return published


def _check_chain(statements: Sequence[Json]) -> None:
    ended: dict[str, Decimal] = {}
    for statement in statements:
        assert ended.keys() <= {unit["unit"] for unit in statement["units"]}
        for unit in statement["units"]:
            says = {name: Decimal(text) for name, text in unit.items() if name != "unit"}
            assert ended.get(unit["unit"], 0) == says["opening"], statement
            spent = says["drawn"] + says["expired"] + says["removed"]
            ended[unit["unit"]] = says["opening"] + says["issued"] - spent + says["adjusted"]
            assert ended[unit["unit"]] == says["closing"], statement


async def check_closings(stage: Stage, written: Mapping[str, datetime]) -> None:
    """Check that nothing written until a period could be closed was learned after its close."""
    for account_id, month, closes_at, told_later in await stage.fetch(_CLOSED):
        early = [event for event in told_later if event in written and written[event] <= closes_at]
        assert [] == early, (account_id, month)


async def check_kept(stage: Stage) -> None:
    """Check that closed lines took what they had then, whatever others were told of since."""
    found = await stage.fetch(_KEPT)
    assert found
    for *line, listed, kept, taken in found:
        assert _takes(listed) == _takes(kept), (line, listed, kept, taken)
        assert _takes(kept) <= _takes(taken), line


def _takes(text: str) -> Counter[str]:
    """Read takes: grant and quantity, and maybe a unit between them.

    Where billing has renewed for a period what the clock allotted for it, it is that grant now.
    """
    takes: Counter[str] = Counter()
    for grant_id, *_, quantity in json.loads(text):
        takes[grant_id.replace(ALLOTTED, RENEWED)] += quantity
    return takes


def sums(statements: Iterable[Json], column: str) -> Decimal:
    """Add up a column of statements, whatever its sign."""
    units = (unit for statement in statements for unit in statement["units"])
    return sum((abs(Decimal(unit[column])) for unit in units), Decimal())
