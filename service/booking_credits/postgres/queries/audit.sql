-- The ledger held against its own rules. Each query is a rule and finds what breaks it: the account
-- and what is wrong there, never more of a payload than names and numbers. $1 how many at most.

-- name: buckets_sum_to_granted
-- A grant's and a balance's buckets sum to what was granted, and none is negative.
select account_id,
    format('%s: granted %s, available %s, held %s, drawn %s, expired %s, removed %s',
        name, granted, available, held, drawn, expired, removed) as detail
from (
    select account_id, 'grant ' || grant_id as name, granted, available, held, drawn, expired,
        removed
    from grants
    union all
    select account_id, 'balance ' || unit, granted, available, held, drawn, expired, removed
    from balances
) as holdings
where granted <> available + held + drawn + expired + removed
    or least(available, held, drawn, expired, removed) < 0
order by 1, 2 limit $1

-- name: entries_fold_to_buckets
-- Moving a grant's entries from bucket to bucket leads to its buckets.
with moved as (
    select account_id, grant_id,
        sum(quantity * ((source_bucket = 'granted')::int - (target_bucket = 'granted')::int))
            as granted,
        sum(quantity * ((target_bucket = 'available')::int - (source_bucket = 'available')::int))
            as available,
        sum(quantity * ((target_bucket = 'held')::int - (source_bucket = 'held')::int)) as held,
        sum(quantity * ((target_bucket = 'drawn')::int - (source_bucket = 'drawn')::int)) as drawn,
        sum(quantity * ((target_bucket = 'expired')::int - (source_bucket = 'expired')::int))
            as expired,
        sum(quantity * ((target_bucket = 'removed')::int - (source_bucket = 'removed')::int))
            as removed
    from entries group by account_id, grant_id
),
compared as (
    select account_id, grant_id,
        array[g.granted, g.available, g.held, g.drawn, g.expired, g.removed]::numeric[] as held,
        array[
            coalesce(m.granted, 0), coalesce(m.available, 0), coalesce(m.held, 0),
            coalesce(m.drawn, 0), coalesce(m.expired, 0), coalesce(m.removed, 0)
        ]::numeric[] as moved
    from grants as g full join moved as m using (account_id, grant_id)
)
select account_id,
    format('grant %s: granted, available, held, drawn, expired, removed are %s, its entries give %s',
        grant_id, held, moved) as detail
from compared where held is distinct from moved
order by account_id, grant_id limit $1

-- name: grants_sum_to_balances
-- A unit's grants sum to the account's balance in it.
with summed as (
    select account_id, unit,
        array[sum(granted), sum(available), sum(held), sum(drawn), sum(expired), sum(removed)]
            as summed
    from grants group by account_id, unit
),
compared as (
    -- A unit whose only grants are unlimited has no balance before the first take.
    select account_id, unit, coalesce(s.summed, array_fill(0::numeric, array[6])) as summed,
        array[
            coalesce(b.granted, 0), coalesce(b.available, 0), coalesce(b.held, 0),
            coalesce(b.drawn, 0), coalesce(b.expired, 0), coalesce(b.removed, 0)
        ]::numeric[] as balance
    from balances as b full join summed as s using (account_id, unit)
)
select account_id,
    format('balance %s: granted, available, held, drawn, expired, removed are %s, its grants give %s',
        unit, balance, summed) as detail
from compared where balance <> summed
order by account_id, unit limit $1

-- name: numbers_leave_no_gap
-- Facts, entries and announcements are numbered from 1 to the account's counters.
with numbered as (
    select account_id, 'facts' as numbered, count(*) as amount, max(fact_no) as highest
    from facts group by account_id
    union all
    select account_id, 'entries', count(*), max(entry_no) from entries group by account_id
    union all
    select account_id, 'announcements', count(distinct sequence), max(sequence)
    from announcements group by account_id
),
counted as (
    select account_id, 'facts' as numbered, fact_no as counter from accounts
    union all
    select account_id, 'entries', entry_no from accounts
    union all
    select account_id, 'announcements', sequence from accounts
)
select account_id,
    format('%s: %s with the numbers 1 to %s, the account counts %s',
        numbered, coalesce(amount, 0), coalesce(highest, 0), coalesce(counter::text, 'none')
    ) as detail
from numbered full join counted using (account_id, numbered)
where (coalesce(amount, 0), coalesce(highest, 0))
    is distinct from (coalesce(highest, 0), coalesce(counter, -1))
order by account_id, numbered limit $1

-- name: accounts_know_their_last_announcements
-- An account's row names the last announcement of each type.
with announced as (
    select account_id, type, max(sequence) as last from announcements group by account_id, type
),
counted as (
    select a.account_id, k.type, k.last
    from accounts as a
    cross join lateral (
        values ('balance-changed', a.last_balance_changed),
            ('overage-detected', a.last_overage_detected),
            ('coverage-decided', a.last_coverage_decided),
            ('request-rejected', a.last_request_rejected),
            ('credits-expiring', a.last_credits_expiring),
            ('period-closed', a.last_period_closed)
    ) as k (type, last)
)
select account_id,
    format('last %s: counted %s, announced %s', type, c.last, coalesce(a.last, 0)) as detail
from counted as c left join announced as a using (account_id, type)
where c.last <> coalesce(a.last, 0)
order by account_id, type limit $1

-- name: entries_name_their_fact_and_grant
-- Every entry was caused by a fact on record and concerns a grant on record.
select e.account_id,
    format('entry %s: fact %s is %s, grant %s is %s', e.entry_no,
        e.fact_no, case when f.fact_no is null then 'missing' else 'there' end,
        e.grant_id, case when g.grant_id is null then 'missing' else 'there' end) as detail
from entries as e
left join facts as f using (account_id, fact_no)
left join grants as g using (account_id, grant_id)
where f.fact_no is null or g.grant_id is null
order by e.account_id, e.entry_no limit $1

-- name: announcements_name_their_fact
-- Every announcement was caused by a fact on record.
select a.account_id, format('announcement %s: fact %s is missing', a.sequence, a.fact_no) as detail
from announcements as a left join facts as f using (account_id, fact_no)
where f.fact_no is null
order by a.account_id, a.sequence limit $1

-- name: takes_agree_with_charges
-- What charges take stands by grant, too, but for what closed lines keep.
with taken as (
    select c.account_id, t.take ->> 0 as grant_id, c.rank, c.booking_id, c.starts_at
    from charges as c cross join lateral json_array_elements(c.takes) as t (take)
    where (t.take ->> 1)::bigint > coalesce((
        select sum((k.take ->> 1)::bigint) from json_array_elements(c.closed) as k (take)
        where k.take ->> 0 = t.take ->> 0
    ), 0)
)
select account_id,
    format('booking %s, grant %s: %s', booking_id, grant_id,
        case when c.starts_at is null then 'a take that no charge has'
            when t.starts_at is null then 'a take of a charge that is not among the takes'
            else 'a take of another start' end) as detail
from takes as t full join taken as c using (account_id, grant_id, rank, booking_id)
where t.starts_at is distinct from c.starts_at
order by account_id, booking_id, grant_id limit $1

-- name: charges_sum_to_grants
-- What is held and drawn of a grant is what charges hold and draw.
with taken as (
    select c.account_id, t.take ->> 0 as grant_id,
        coalesce(sum((t.take ->> 1)::bigint) filter (where not c.drawn), 0) as held,
        coalesce(sum((t.take ->> 1)::bigint) filter (where c.drawn), 0) as drawn
    from charges as c cross join lateral json_array_elements(c.takes) as t (take)
    group by c.account_id, 2
)
select account_id,
    format('grant %s: held %s, drawn %s, its charges hold %s and draw %s', grant_id,
        g.held, g.drawn, coalesce(t.held, 0), coalesce(t.drawn, 0)) as detail
from grants as g full join taken as t using (account_id, grant_id)
where (g.held, g.drawn) is distinct from (coalesce(t.held, 0), coalesce(t.drawn, 0))
order by account_id, grant_id limit $1

-- name: grants_give_what_they_say
-- A finite grant has granted its quantity, or what closed lines keep of it where that is more.
with kept as (
    select c.account_id, k.take ->> 0 as grant_id, sum((k.take ->> 1)::bigint) as quantity
    from charges as c cross join lateral json_array_elements(c.closed) as k (take)
    group by c.account_id, 2
)
select g.account_id,
    format('grant %s: granted %s of %s, closed lines keep %s', g.grant_id, g.granted, g.quantity,
        coalesce(k.quantity, 0)) as detail
from grants as g left join kept as k using (account_id, grant_id)
where not g.pending and g.granted <> greatest(g.quantity, k.quantity)
    and g.quantity is not null
order by 1, 2 limit $1

-- name: facts_agree_with_events_received
-- Every fact is in the directory of events, with its account and hash.
select f.account_id,
    format('fact %s: %s', f.fact_no, case
        when e.event_id is null then 'its event is not among those received'
        when e.account_id <> f.account_id then 'its event was received for another account'
        else 'its event was received with another hash' end) as detail
from facts as f left join events_received as e using (source, event_id)
where (f.account_id, f.payload_hash) is distinct from (e.account_id, e.payload_hash)
order by f.account_id, f.fact_no limit $1

-- name: announcements_are_whole
-- An announcement's parts are all there, and say which they are.
with counted as (
    select account_id, sequence, part, type, payload,
        count(*) over (partition by account_id, sequence) as parts,
        min(type) over (partition by account_id, sequence) as first_type
    from announcements
)
select account_id,
    format('announcement %s, part %s of %s (%s): says part %s of %s of %s', sequence, part, parts,
        type, payload ->> 'part', payload ->> 'parts', payload ->> 'sequence') as detail
from counted
where part not between 1 and parts or type <> first_type
    or (payload ->> 'account_id', payload ->> 'sequence', payload ->> 'part', payload ->> 'parts')
    is distinct from (account_id, sequence::text, part::text, parts::text)
order by account_id, sequence, part limit $1

-- name: announcements_chain
-- Each announcement names the one of its type before it.
with chained as (
    select account_id, sequence, type, payload ->> 'previous_sequence' as named,
        lag(sequence, 1, 0::bigint) over (partition by account_id, type order by sequence)
            as previous
    from announcements where part = 1
)
select account_id,
    format('announcement %s (%s): names %s before it, which is %s', sequence, type, named, previous)
        as detail
from chained where named is distinct from previous::text
order by account_id, sequence limit $1

-- name: balances_chain
-- In each unit an account's balance goes on from where it was left.
with told as (
    select account_id, sequence, payload ->> 'unit' as unit,
        array(
            select replace(value, '.', '')::numeric from json_each_text(payload -> 'before')
            order by key
        ) as before,
        array(
            select replace(value, '.', '')::numeric from json_each_text(payload -> 'after')
            order by key
        ) as after
    from announcements where type = 'balance-changed' and part = 1
),
chained as (
    select *, lag(after, 1, array_fill(0::numeric, array[6]))
        over (partition by account_id, unit order by sequence) as previous
    from told
)
select account_id,
    format(
        'announcement %s: available, drawn, expired, granted, held, removed of %s were %s before, '
        'the announcement before it left %s', sequence, unit, before, previous) as detail
from chained where before is distinct from previous
order by account_id, sequence limit $1

-- name: announced_balances_hold
-- The last announced balance is the balance.
with told as (
    select distinct on (account_id, unit) account_id, unit, array(
        select replace(value, '.', '')::numeric from json_each_text(after) order by key
    ) as announced
    from (
        select account_id, sequence, payload ->> 'unit' as unit, payload -> 'after' as after
        from announcements where type = 'balance-changed' and part = 1
    ) as changes
    order by account_id, unit, sequence desc
),
compared as (
    select account_id, unit, t.announced,
        array[b.available, b.drawn, b.expired, b.granted, b.held, b.removed]::numeric[] as balance
    from balances as b full join told as t using (account_id, unit)
)
select account_id,
    format('balance %s: available, drawn, expired, granted, held, removed are %s, announced are %s',
        unit, balance, announced) as detail
from compared where balance is distinct from announced
order by account_id, unit limit $1

-- name: entries_are_announced
-- Every entry is announced as it stands, and no other is.
with told as (
    select a.account_id, (e.entry ->> 'entry')::bigint as entry_no,
        array[
            a.fact_no::text, e.entry ->> 'grant_id', e.entry ->> 'from', e.entry ->> 'to',
            ltrim(replace(e.entry ->> 'quantity', '.', ''), '0'),
            e.entry ->> 'booking_id', e.entry ->> 'line'
        ] as announced
    from announcements as a cross join lateral json_array_elements(a.payload -> 'entries')
        as e (entry)
    where a.type = 'balance-changed'
),
compared as (
    select account_id, entry_no, t.announced,
        array[
            e.fact_no::text, e.grant_id, e.source_bucket, e.target_bucket, e.quantity::text,
            e.booking_id, e.line_no::text
        ] as posted
    from entries as e full join told as t using (account_id, entry_no)
)
select account_id,
    format('entry %s: fact, grant, from, to, quantity, booking, line are %s, announced are %s',
        entry_no, posted, announced) as detail
from compared
where announced is distinct from posted
order by account_id, entry_no limit $1

-- name: overages_chain
-- An obligation's revisions are numbered from 1, and each total is the one before and its change.
with told as (
    select account_id, sequence, payload ->> 'obligation_id' as obligation,
        (payload ->> 'revision')::bigint as revision,
        coalesce((payload ->> 'change_minor')::bigint, 0) as change,
        coalesce((payload ->> 'total_minor')::bigint, 0) as total
    from announcements where type = 'overage-detected' and part = 1
),
chained as (
    select *, row_number() over revisions as place, lag(total, 1, 0::bigint) over revisions as before
    from told window revisions as (partition by account_id, obligation order by sequence)
)
select account_id,
    format('announcement %s: revision %s where %s comes next, total %s where it was %s and changed by %s',
        sequence, revision, place, total, before, change) as detail
from chained where (revision, total) is distinct from (place, before + change)
order by account_id, sequence limit $1

-- name: announced_overages_hold
-- The last announced revision of an obligation is the obligation.
with told as (
    select distinct on (account_id, booking_id, line_no, period_start, currency, channel) *
    from (
        select account_id, sequence, payload ->> 'booking_id' as booking_id,
            (payload ->> 'line')::integer as line_no,
            (payload -> 'billing_period' ->> 'start')::date as period_start,
            coalesce(payload ->> 'currency', '') as currency, payload ->> 'channel' as channel,
            (payload ->> 'revision')::integer as revision,
            coalesce((payload ->> 'total_minor')::bigint, 0) as total_minor,
            payload ->> 'status' <> 'reversed' as is_open
        from announcements where type = 'overage-detected' and part = 1
    ) as revisions
    order by account_id, booking_id, line_no, period_start, currency, channel, sequence desc
)
select account_id,
    format('obligation of booking %s, line %s, period %s: revision %s, total %s, open %s, '
        'announced are %s, %s, %s', booking_id, line_no, period_start, o.revision, o.total_minor,
        o.is_open, t.revision, t.total_minor, t.is_open) as detail
from obligations as o
full join told as t using (account_id, booking_id, line_no, period_start, currency, channel)
where (o.revision, o.total_minor, o.is_open)
    is distinct from (t.revision, t.total_minor, t.is_open)
order by account_id, booking_id, line_no, period_start limit $1
