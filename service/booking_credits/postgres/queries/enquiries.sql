-- What people ask of the ledger. Nothing is changed or locked.

-- name: account_exists
-- $1 account.
select exists(select from accounts where account_id = $1)

-- name: facts_told
-- The facts of some subjects, and others by number. $1 account, $2 subject, $3 fact_no.
select fact_no, subject, type, source, event_id, occurred_at, recorded_at, payload
from facts
where account_id = $1 and (subject = any($2::text[]) or fact_no = any($3::bigint[]))
order by fact_no

-- name: entries_of_booking
-- $1 account, $2 booking.
select entry_no, fact_no, grant_id, source_bucket, target_bucket, quantity, line_no
from entries where account_id = $1 and booking_id = $2
order by entry_no

-- name: overages_of_booking
-- The revisions of what a booking owes, as they were announced. $1 account, $2 booking.
select fact_no, (payload ->> 'line')::integer as line_no,
    (payload -> 'billing_period' ->> 'start')::date as period_start,
    payload ->> 'currency' as currency, payload ->> 'channel' as channel,
    (payload ->> 'revision')::integer as revision, payload ->> 'status' as status,
    coalesce((payload ->> 'change_minor')::bigint, 0) as change_minor,
    coalesce((payload ->> 'total_minor')::bigint, 0) as total_minor
from announcements
where account_id = $1 and type = 'overage-detected' and part = 1
    and payload ->> 'booking_id' = $2
order by sequence

-- name: account_of_booking
-- $1 booking.
select account_id from bookings where booking_id = $1

-- name: log_of_account
-- The entries of an account with what remained and was used after each, of the unit or of the
-- one grant asked for. $1 account, $2 unit, $3 grant, $4 from when, $5 until when; null is any.
with moved as (
    select e.entry_no, e.fact_no, e.effective_at, e.grant_id, g.unit, g.source as grant_source,
        g.from_at, e.source_bucket, e.target_bucket, e.quantity, e.booking_id, e.line_no,
        sum(e.quantity * (
            (e.target_bucket = 'available')::integer - (e.source_bucket = 'available')::integer
        )) over so_far as remaining,
        sum(e.quantity * (
            (e.target_bucket in ('held', 'drawn'))::integer
            - (e.source_bucket in ('held', 'drawn'))::integer
        )) over so_far as used
    from entries as e
    join grants as g on g.account_id = e.account_id and g.grant_id = e.grant_id
    where e.account_id = $1
        and ($2::text is null or g.unit = $2) and ($3::text is null or g.grant_id = $3)
    window so_far as (partition by g.unit order by e.entry_no)
)
select m.*, f.subject, f.type, f.source, f.event_id, f.occurred_at, f.recorded_at, f.payload
from moved as m
join facts as f on f.account_id = $1 and f.fact_no = m.fact_no
where ($4::timestamptz is null or m.effective_at >= $4)
    and ($5::timestamptz is null or m.effective_at < $5)
order by m.entry_no
