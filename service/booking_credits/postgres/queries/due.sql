-- The directory of what is due.

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
