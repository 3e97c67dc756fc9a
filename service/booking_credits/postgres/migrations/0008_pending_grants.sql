-- A pack that waits for its approval is known and shown, and nothing of it has been issued.
alter table grants add column pending boolean not null default false;
alter table grants drop constraint finite_grants_are_granted_whole;
alter table grants add constraint finite_grants_are_granted_whole
check (quantity is null or pending or granted = quantity);
alter table grants add constraint pending_grants_are_not_issued check (not pending or granted = 0);

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
from grants as g;
