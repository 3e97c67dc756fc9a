-- Grants as posting reads them: with the rank of the last charge that takes from each, beyond
-- which nobody has to be asked.
create view grants_on_record as
select g.account_id, g.grant_id, g.unit, g.quantity, g.from_at, g.to_at, g.scope, g.priority,
    g.paid, g.source, g.granted, g.available, g.held, g.drawn, g.expired, g.removed,
    coalesce(
        (
            select t.rank from takes as t
            where t.account_id = g.account_id and t.grant_id = g.grant_id
            order by t.rank desc limit 1
        ),
        ''
    ) as last_taken
from grants as g;
grant select on grants_on_record to booking_credits_worker;
