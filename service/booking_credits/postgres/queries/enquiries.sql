-- What people ask of the ledger. Nothing is changed or locked.

-- name: account_exists
-- $1 account.
select exists(select from accounts where account_id = $1)

-- name: facts_told
-- The facts of some subjects, and others by number. $1 account, $2 subject, $3 fact_no.
select fact_no, subject, type, source, event_id, occurred_at, recorded_at, payload, answer
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

-- name: shortfalls_of_declined
-- The lines for which revisions were declined, as announced. $1 account, $2 fact_no.
select a.fact_no, short.line ->> 'booking_id' as booking_id,
    (short.line ->> 'line')::integer as line_no, short.line -> 'uncovered' as uncovered,
    short.line -> 'reasons' as reasons
from announcements as a
cross join lateral json_array_elements(a.payload -> 'left_short') with ordinality
    as short (line, place)
where a.account_id = $1 and a.fact_no = any($2::bigint[]) and a.type = 'coverage-decided'
order by a.sequence, a.part, short.place

-- name: statement_of
-- The last statement of an account, or that of one period. $1 account, $2 its start, if one.
select payload, recorded_at from announcements
where account_id = $1 and type = 'period-closed'
    and ($2::date is null or (payload -> 'billing_period' ->> 'start')::date = $2)
order by sequence desc limit 1

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
select m.*, f.subject, f.type, f.source, f.event_id, f.occurred_at, f.recorded_at, f.payload,
    f.answer
from moved as m
join facts as f on f.account_id = $1 and f.fact_no = m.fact_no
where ($4::timestamptz is null or m.effective_at >= $4)
    and ($5::timestamptz is null or m.effective_at < $5)
order by m.entry_no

-- name: accounts_after
-- The next accounts in order. $1 after which, $2 how many.
select account_id from accounts where account_id > $1 order by account_id limit $2

-- name: lines_of_accounts
-- Lines that stand, with what is owed for each. $1 account, $2 from when and $3 until when the
-- line starts, $4 location; null is any.
select c.account_id, c.booking_id, c.line_no, c.revision, c.booked_at, c.starts_at, c.ends_at,
    c.resource, c.location, c.product_group, c.costs, c.price_minor, c.currency,
    c.payable_by_credits, c.discounted, c.online_plan, c.fallback, c.started_at, c.rank,
    c.eligible, c.takes, c.uncovered, c.drawn, c.due_at, c.closed,
    o.channel as owed_by, o.total_minor as owed_minor
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) as w (account_id, from_at, to_at)
join charges as c
    on c.account_id = w.account_id
    and (w.from_at is null or c.starts_at >= w.from_at)
    and (w.to_at is null or c.starts_at < w.to_at)
    and ($4::text is null or c.location = $4)
left join obligations as o
    on o.account_id = c.account_id and o.booking_id = c.booking_id and o.line_no = c.line_no
    and o.is_open
order by c.account_id, c.starts_at, c.booking_id, c.line_no

-- name: issued_to_accounts
-- What each grant was for and how much it has issued. $1 account.
select account_id, grant_id, unit, from_at, quantity, granted
from grants where account_id = any($1::text[]) and not gone
order by account_id, grant_id
