-- What a grant does not offer to everybody: what was removed of it, and what has rolled over past
-- its own end, up to a cap.
alter table grants
    add column rolls_at timestamptz,
    add column roll_cap bigint,
    add column removals json not null default '[]',
    add column rolled bigint not null default 0,
    add constraint rolled_within_the_cap
    check (rolled >= 0 and rolled <= coalesce(roll_cap, 0)),
    add constraint only_what_was_removed_is check (removed = 0 or removals::text <> '[]');
comment on column grants.removals is 'pairs of instant and steps (null: all), in order of time';
comment on column grants.rolled is 'what charges take of the cap';
create index grants_by_roll on grants (account_id, rolls_at) where roll_cap is not null;

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
    ) as last_taken, g.pending, g.rolls_at, g.roll_cap, g.removals, g.rolled
from grants as g
where not g.gone;
