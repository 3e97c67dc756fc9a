-- Reading and writing what is on record of accounts, many at a time.
-- Parameters are arrays of equal length, one element for each row or question.

-- name: register_events
-- Claim the ids of events; those that come back are new. $1 source, $2 id, $3 account, $4 hash.
insert into events_received (source, event_id, account_id, payload_hash)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
on conflict do nothing
returning source, event_id

-- name: registered_hashes
-- What was registered under ids. $1 source, $2 id.
select e.source, e.event_id, e.payload_hash
from unnest($1::text[], $2::text[]) as w (source, event_id)
join events_received as e on e.source = w.source and e.event_id = w.event_id

-- name: forget_events
-- Give ids back whose events were not posted. $1 source, $2 id.
delete from events_received as e
using unnest($1::text[], $2::text[]) as w (source, event_id)
where e.source = w.source and e.event_id = w.event_id

-- name: claim_bookings
-- Give bookings to the first account that names them; returns whose each is, but for those that
-- another transaction gave away in this very moment. $1 booking, $2 account.
with claimed as (
    insert into bookings (booking_id, account_id)
    select * from unnest($1::text[], $2::text[])
    on conflict do nothing
    returning booking_id, account_id
)
select booking_id, account_id, true as is_new from claimed
union all
select b.booking_id, b.account_id, false as is_new
from unnest($1::text[]) as w (booking_id) join bookings as b on b.booking_id = w.booking_id

-- name: booking_owners
-- $1 booking.
select b.booking_id, b.account_id
from unnest($1::text[]) as w (booking_id) join bookings as b on b.booking_id = w.booking_id

-- name: create_accounts
-- Make the rows of accounts that are seen for the first time. $1 account.
insert into accounts (account_id) select unnest($1::text[]) on conflict do nothing

-- name: lock_accounts
-- Hold accounts until the end of the transaction, in an order that cannot deadlock. $1 account.
select account_id, fact_no, entry_no, sequence, last_balance_changed, last_overage_detected,
    last_coverage_decided, last_request_rejected, last_credits_expiring, last_period_closed, present,
    monthly, closed_through
from accounts where account_id = any($1::text[])
order by account_id
for update

-- name: look_at_accounts
-- What lock_accounts reads, for whoever changes nothing. $1 account.
select account_id, fact_no, entry_no, sequence, last_balance_changed, last_overage_detected,
    last_coverage_decided, last_request_rejected, last_credits_expiring, last_period_closed, present,
    monthly, closed_through
from accounts where account_id = any($1::text[])
order by account_id

-- name: facts_of_subjects
-- $1 account, $2 subject.
select f.account_id, f.subject, f.type, f.occurred_at, f.payload, f.answer
from unnest($1::text[], $2::text[]) as w (account_id, subject)
join facts as f on f.account_id = w.account_id and f.subject = w.subject
order by f.account_id, f.fact_no

-- name: charges_of_bookings
-- Every line of bookings, and those that were closed and do not stand, once for each closing that
-- lists it. $1 account, $2 booking.
select w.account_id, w.booking_id, n.*
from unnest($1::text[], $2::text[]) as w (account_id, booking_id)
cross join lateral (
    select c.line_no, c.revision, c.booked_at, c.starts_at, c.ends_at, c.resource, c.location,
        c.product_group, c.costs, c.price_minor, c.currency, c.payable_by_credits, c.discounted,
        c.online_plan, c.fallback, c.started_at, c.rank, c.eligible, c.takes, c.uncovered,
        c.drawn, c.due_at, c.closed, k.said, k.until
    from (
        select * from charges where account_id = w.account_id and booking_id = w.booking_id
    ) as c
    full join (
        select line_no, said, until from closed_lines
        where account_id = w.account_id and booking_id = w.booking_id
    ) as k on k.line_no = c.line_no
) as n

-- name: obligations_of_bookings
-- $1 account, $2 booking.
select o.account_id, o.booking_id, o.line_no, o.period_start, o.currency, o.channel,
    o.period_end, o.zone, o.revision, o.total_minor, o.is_open, o.starts_at, o.ends_at
from unnest($1::text[], $2::text[]) as w (account_id, booking_id)
join obligations as o on o.account_id = w.account_id and o.booking_id = w.booking_id
order by o.account_id, o.booking_id, o.line_no, o.period_start, o.currency, o.channel

-- name: balances_of_accounts
-- With the rank of the last charge of the account that is short, empty where none is, and when the
-- last such service starts; one row without a unit where nothing was ever granted. $1 account.
select w.account_id, w.last_short, w.short_through, b.unit, b.granted, b.available, b.held,
    b.drawn, b.expired, b.removed
from (
    select account_id, coalesce(
        (
            select c.rank from charges as c
            where c.account_id = asked.account_id and c.short
            order by c.rank desc limit 1
        ),
        ''
    ) as last_short, (
        select c.starts_at from charges as c
        where c.account_id = asked.account_id and c.short
        order by c.starts_at desc limit 1
    ) as short_through
    from unnest($1::text[]) as asked (account_id)
) as w
left join balances as b on b.account_id = w.account_id

-- name: grants_by_id
-- $1 account, $2 grant.
select g.*
from unnest($1::text[], $2::text[]) as w (account_id, grant_id)
join grants_on_record as g on g.account_id = w.account_id and g.grant_id = w.grant_id

-- name: grants_ending_after
-- The grants that end after an instant, and the one that ended last before. $1 account, $2 at.
select g.*
from unnest($1::text[], $2::timestamptz[]) as w (account_id, at)
cross join lateral (
    select * from grants_on_record where account_id = w.account_id and to_at > w.at
    union all
    select * from grants_on_record where account_id = w.account_id and to_at is null
    union all
    (
        select * from grants_on_record where account_id = w.account_id and to_at <= w.at
        order by to_at desc, grant_id collate "C" desc limit 1
    )
) as g

-- name: grants_ended_by
-- Grants with a rest that end, or are down to a cap, by an instant. $1 account, $2 at.
select g.*
from unnest($1::text[], $2::timestamptz[]) as w (account_id, at)
join grants_on_record as g
    on g.account_id = w.account_id and g.to_at <= w.at and g.available > 0 and g.roll_cap is null
union all
select g.*
from unnest($1::text[], $2::timestamptz[]) as w (account_id, at)
join grants_on_record as g
    on g.account_id = w.account_id and g.rolls_at <= w.at and g.roll_cap is not null
    and g.available + g.removed > 0

-- name: lines_within
-- The first lines that start in a window. $1 account, $2 from, $3 to, $4 how many and those that
-- start with the last.
select w.ordinality - 1 as question, c.account_id, c.booking_id, c.starts_at as place
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::integer[])
with ordinality as w (account_id, from_at, to_at, size)
cross join lateral (
    select account_id, booking_id, starts_at from charges
    where account_id = w.account_id and starts_at >= w.from_at and starts_at < w.to_at
    order by starts_at fetch first w.size rows with ties
) as c

-- name: lines_from
-- Bookings with a line that starts at an instant or later. $1 account, $2 from.
select distinct c.account_id, c.booking_id
from unnest($1::text[], $2::timestamptz[]) as w (account_id, from_at)
join charges as c on c.account_id = w.account_id and c.starts_at >= w.from_at

-- name: open_lines_before
-- Bookings with a line that starts before an instant and is not closed. $1 account, $2 at.
select distinct c.account_id, c.booking_id
from unnest($1::text[], $2::timestamptz[]) as w (account_id, at)
join charges as c
    on c.account_id = w.account_id and c.starts_at < w.at and c.closed is null

-- name: bookings_due_by
-- Bookings with a line that time changes by an instant. $1 account, $2 at.
select distinct c.account_id, c.booking_id
from unnest($1::text[], $2::timestamptz[]) as w (account_id, at)
join charges as c on c.account_id = w.account_id and c.due_at <= w.at

-- name: takers_below
-- The last takers of a grant between two ranks. $1 account, $2 grant, $3 below which rank,
-- $4 above which, $5 how many.
select w.ordinality - 1 as question, t.account_id, t.booking_id, t.rank as place
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[])
with ordinality as w (account_id, grant_id, below, above, size)
cross join lateral (
    select account_id, booking_id, rank from takes
    where account_id = w.account_id and grant_id = w.grant_id
        and rank < w.below and rank > w.above
    order by rank desc limit w.size
) as t

-- name: wanting_above
-- The first charges above a rank that would take more of a grant: the short ones, and those
-- that take from a grant which does not pay before it. $1 account, $2 grant, $3 its window's
-- start and $4 end, $5 rank, $6 the ids that pay before it or are it, one a line, $7 whether the
-- rank comes before all of the window, $8 how many.
select w.ordinality - 1 as question, found.account_id, found.booking_id, found.rank as place
from unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[],
    $7::boolean[], $8::integer[]
)
with ordinality as w (account_id, grant_id, from_at, to_at, above, better, is_whole, size)
cross join lateral (
    (
        -- By the rank: the sum keeps it from being looked up by the start.
        select account_id, booking_id, rank from charges
        where not w.is_whole and account_id = w.account_id and short and rank > w.above
            and starts_at + interval '0' >= w.from_at
            and (w.to_at is null or starts_at + interval '0' < w.to_at)
        order by rank limit w.size
    )
    union
    (
        -- By the start, as any of the account's ranks may be before the window's: what is added
        -- to the rank keeps it from being looked up by that.
        select account_id, booking_id, rank from charges
        where w.is_whole and account_id = w.account_id and short and starts_at >= w.from_at
            and starts_at < coalesce(w.to_at, 'infinity')
        order by rank || '' limit w.size
    )
    union
    select worse.account_id, worse.booking_id, worse.rank
    from grants as g
    cross join lateral (
        select account_id, booking_id, rank from takes
        where account_id = w.account_id and grant_id = g.grant_id and rank > w.above
            and starts_at >= w.from_at and (w.to_at is null or starts_at < w.to_at)
        order by rank limit w.size
    ) as worse
    where g.account_id = w.account_id and g.held + g.drawn > 0
        and (w.to_at is null or g.from_at < w.to_at) and (g.to_at is null or g.to_at > w.from_at)
        and g.grant_id <> all(string_to_array(w.better, E'\n'))
    order by rank limit w.size
) as found

-- name: flows_around
-- What moved between buckets, summed up: since an instant and late for before it. What expires at
-- an instant does so in the moment before; what took effect just then by a fact that occurred
-- earlier is late. What a batch has added is left out: it adds to the account's row last of all.
-- $1 account, $2 since, $3 the period's end, $4 the fact that closed the one before, if known.
select w.ordinality - 1 as question, g.unit, f.source_bucket, f.target_bucket, f.part,
    sum(f.quantity)::bigint as quantity
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::bigint[])
with ordinality as w (account_id, since, ends_at, closed_fact)
join accounts as a on a.account_id = w.account_id
cross join lateral (
    select coalesce(w.closed_fact, (
        select n.fact_no from announcements as n
        where n.account_id = a.account_id and n.sequence = a.last_period_closed and n.part = 1
    ), 0) as fact_no
) as closed
cross join lateral (
    select e.grant_id, e.source_bucket, e.target_bucket, e.quantity,
        case when s.at >= w.ends_at then 'later' else 'within' end as part
    from entries as e
    cross join lateral (
        select e.effective_at - case
            when e.source_bucket = 'available' and e.target_bucket = 'expired'
                and e.booking_id is null then interval '1 microsecond'
            else interval '0' end as at
    ) as s
    -- By the time: the sum keeps it from being looked up by the number.
    where e.account_id = w.account_id and e.entry_no + 0 <= a.entry_no
        and e.effective_at >= coalesce(w.since, '-infinity')
        and s.at >= coalesce(w.since, '-infinity')
        and (e.effective_at is distinct from w.since or exists (
            select from facts as x
            where x.account_id = w.account_id and x.fact_no = e.fact_no
                and x.occurred_at >= w.since
        ))
    union all
    select e.grant_id, e.source_bucket, e.target_bucket, e.quantity, 'late' as part
    from entries as e
    where e.account_id = w.account_id and e.entry_no <= a.entry_no and e.entry_no > coalesce((
        select p.entry_no from entries as p
        where p.account_id = w.account_id and p.fact_no <= closed.fact_no
        order by p.entry_no desc limit 1
    ), 0) and (
        e.effective_at < w.since
        or e.effective_at = w.since and (
            e.source_bucket = 'available' and e.target_bucket = 'expired' and e.booking_id is null
            or exists (
                select from facts as x
                where x.account_id = w.account_id and x.fact_no = e.fact_no
                    and x.occurred_at < w.since
            )
        )
    )
) as f
join grants as g on g.account_id = w.account_id and g.grant_id = f.grant_id
group by w.ordinality, g.unit, f.source_bucket, f.target_bucket, f.part

-- name: owing_around
-- What changed since the last close of what is owed for lines that were closed before, late where
-- they start before an instant. $1 to $4 as above.
select w.ordinality - 1 as question, n.payload ->> 'currency' as currency,
    n.payload ->> 'channel' as channel, (n.payload ->> 'starts_at')::timestamptz < w.since as is_late,
    sum((n.payload ->> 'change_minor')::bigint)::bigint as change_minor
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::bigint[])
with ordinality as w (account_id, since, ends_at, closed_fact)
join accounts as a on a.account_id = w.account_id
join announcements as n on n.account_id = w.account_id and n.sequence > a.last_period_closed
    and n.sequence <= a.sequence and n.type = 'overage-detected'
    and n.payload ->> 'currency' is not null
where w.since is not null and w.closed_fact is null and exists (
    select from closed_lines as k
    where k.account_id = w.account_id and k.booking_id = n.payload ->> 'booking_id'
        and k.line_no = (n.payload ->> 'line')::integer
)
group by w.ordinality, n.payload ->> 'currency', n.payload ->> 'channel', is_late

-- name: bookings_of_accounts
-- $1 account.
select distinct account_id, booking_id from charges where account_id = any($1::text[])
union
select distinct account_id, booking_id from obligations where account_id = any($1::text[])
union
select distinct account_id, booking_id from closed_lines where account_id = any($1::text[])

-- name: grants_of_accounts
-- $1 account.
select g.* from grants_on_record as g where g.account_id = any($1::text[])

-- name: facts_of_accounts
-- All but the clock's and the closings, of which the account's row says the last. $1 account.
select f.account_id, f.subject, f.type, f.occurred_at, f.payload, f.answer
from facts as f where f.account_id = any($1::text[]) and f.subject not in ('clock', 'closing')
order by f.account_id, f.fact_no

-- name: update_accounts
-- $1 account, $2 fact_no, $3 entry_no, $4 sequence, $5 to $10 last of each kind, $11 present,
-- $12 the subjects of what is given monthly, one a line, $13 where the last closed period ends.
update accounts as a
set fact_no = w.fact_no, entry_no = w.entry_no, sequence = w.sequence,
    last_balance_changed = w.last_balance_changed,
    last_overage_detected = w.last_overage_detected,
    last_coverage_decided = w.last_coverage_decided,
    last_request_rejected = w.last_request_rejected,
    last_credits_expiring = w.last_credits_expiring,
    last_period_closed = w.last_period_closed, present = w.present,
    monthly = string_to_array(w.monthly, E'\n'), closed_through = w.closed_through
from unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::timestamptz[], $12::text[],
    $13::timestamptz[]
) as w (
    account_id, fact_no, entry_no, sequence, last_balance_changed, last_overage_detected,
    last_coverage_decided, last_request_rejected, last_credits_expiring, last_period_closed, present,
    monthly, closed_through
)
where a.account_id = w.account_id

-- name: update_buckets
-- $1 account, $2 grant, $3 to $8 the buckets.
update grants as g
set granted = w.granted, available = w.available, held = w.held, drawn = w.drawn,
    expired = w.expired, removed = w.removed
from unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[]
) as w (account_id, grant_id, granted, available, held, drawn, expired, removed)
where g.account_id = w.account_id and g.grant_id = w.grant_id

-- name: delete_grants
-- $1 account, $2 grant.
delete from grants as g using unnest($1::text[], $2::text[]) as w (account_id, grant_id)
where g.account_id = w.account_id and g.grant_id = w.grant_id

-- name: delete_charges
-- $1 account, $2 booking, $3 line.
delete from charges as c
using unnest($1::text[], $2::text[], $3::integer[]) as w (account_id, booking_id, line_no)
where c.account_id = w.account_id and c.booking_id = w.booking_id and c.line_no = w.line_no

-- name: delete_takes
-- $1 account, $2 grant, $3 rank.
delete from takes as t
using unnest($1::text[], $2::text[], $3::text[]) as w (account_id, grant_id, rank)
where t.account_id = w.account_id and t.grant_id = w.grant_id and t.rank = w.rank

-- name: delete_obligations
-- $1 account, $2 booking, $3 line.
delete from obligations as o
using unnest($1::text[], $2::text[], $3::integer[]) as w (account_id, booking_id, line_no)
where o.account_id = w.account_id and o.booking_id = w.booking_id and o.line_no = w.line_no

-- name: put_balances
-- $1 account, $2 unit, $3 to $8 the buckets.
insert into balances (account_id, unit, granted, available, held, drawn, expired, removed)
select * from unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[]
)
on conflict (account_id, unit) do update
set granted = excluded.granted, available = excluded.available, held = excluded.held,
    drawn = excluded.drawn, expired = excluded.expired, removed = excluded.removed

-- name: put_due
-- $1 due_at, $2 account.
insert into due (due_at, account_id)
select * from unnest($1::timestamptz[], $2::text[])
on conflict do nothing

-- name: advance_positions
-- Move partitions on, if they are still this owner's. $1 topic, $2 partition, $3 next offset,
-- $4 fingerprint, $5 owner, $6 epoch, $7 the last record's time.
update positions as p
set next_offset = w.next_offset, fingerprint = w.fingerprint, updated_at = now(),
    read_through = greatest(p.read_through, w.read_through)
from unnest(
    $1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::uuid[], $6::bigint[],
    $7::timestamptz[]
) as w (topic, partition, next_offset, fingerprint, owner, epoch, read_through)
where p.topic = w.topic and p.partition = w.partition
    and p.owner = w.owner and p.epoch = w.epoch
returning p.topic, p.partition

-- name: put_dead_letters
-- A record read again keeps its letter; a record that was replayed is another attempt of the first.
-- $1 to $15 the columns in the table's order, $16 the letter that it claims to be replayed from.
insert into dead_letters (
    dead_letter_id, reason, detail, topic, partition, record_offset, record_timestamp,
    key, value, headers, source, event_id, type, account_id, received_at, first_letter_id, attempts
)
select
    w.dead_letter_id, w.reason, w.detail, w.topic, w.partition, w.record_offset,
    w.record_timestamp, w.key, w.value, w.headers, w.source, w.event_id, w.type, w.account_id,
    w.received_at, first.dead_letter_id,
    case when first.dead_letter_id is null then 1 else 2 + (
        select count(*) from dead_letters as d where d.first_letter_id = first.dead_letter_id
    ) end
from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[],
    $7::timestamptz[], $8::bytea[], $9::bytea[], $10::json[], $11::text[], $12::text[],
    $13::text[], $14::text[], $15::timestamptz[], $16::uuid[]
) as w (
    dead_letter_id, reason, detail, topic, partition, record_offset, record_timestamp,
    key, value, headers, source, event_id, type, account_id, received_at, replayed_from
)
left join dead_letters as first on first.dead_letter_id = w.replayed_from
on conflict do nothing
