-- The subjects of an account's facts that give credits monthly: every posting needs to know them.
alter table accounts add column monthly text[] not null default '{}';

-- A period's grant that is no more has given everything back. Its row stays, so that its entries
-- can be read.
alter table grants add column gone boolean not null default false;
alter table grants add constraint gone_grants_are_pending check (not gone or pending);

create or replace view grants_on_record as
select g.account_id, g.grant_id, g.unit, g.quantity, g.from_at, g.to_at, g.scope, g.priority,
    g.paid, g.source, g.granted, g.available, g.held, g.drawn, g.expired, g.removed,
    coalesce(
        (
            select t.rank from takes as t
            where t.account_id = g.account_id and t.grant_id = g.grant_id
            order by t.rank desc limit 1
        ),
        ''
    ) as last_taken, g.pending
from grants as g
where not g.gone;

-- Whether a line is left in a period that has not begun decides whether its grant is there.
create index charges_by_start on charges (account_id, starts_at);
