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
