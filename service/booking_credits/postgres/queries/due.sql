-- The directories of what is due, and of the periods that are closed next.

-- name: due_by
-- The first instants that are due, for the one clock that holds the lock. $1 now, $2 how many.
with turn as materialized (
    select pg_try_advisory_xact_lock(hashtext('booking-credits clock')) as is_ours
)
select d.due_at, d.account_id from turn join due as d on turn.is_ours
where d.due_at <= $1
order by d.due_at, d.account_id
limit $2

-- name: forget_due
-- $1 due_at, $2 account.
delete from due as d
using unnest($1::timestamptz[], $2::text[]) as w (due_at, account_id)
where d.due_at = w.due_at and d.account_id = w.account_id

-- name: closings_due_by
-- The first periods to close, for the one clock that holds the lock: those of accounts in which
-- nothing is due before. $1 through which instant, $2 how many.
with turn as materialized (
    select pg_try_advisory_xact_lock(hashtext('booking-credits clock')) as is_ours
)
select c.account_id, c.open_from, c.period_start, c.ends_at, c.closes_at
from turn join closings as c on turn.is_ours
where c.closes_at <= $1
    and not exists (
        select from due as d where d.account_id = c.account_id and d.due_at <= c.closes_at
    )
order by c.closes_at, c.account_id
limit $2

-- name: closings_open_from
-- $1 account.
select c.account_id, c.open_from, a.closed_through is null as is_first
from closings as c join accounts as a on a.account_id = c.account_id
where c.account_id = any($1::text[])

-- name: put_closings
-- $1 account, $2 open_from, $3 period_start, $4 ends_at, $5 closes_at.
insert into closings (account_id, open_from, period_start, ends_at, closes_at)
select * from unnest(
    $1::text[], $2::timestamptz[], $3::date[], $4::timestamptz[], $5::timestamptz[]
)
on conflict (account_id) do update
set open_from = excluded.open_from, period_start = excluded.period_start,
    ends_at = excluded.ends_at, closes_at = excluded.closes_at
