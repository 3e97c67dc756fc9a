-- What the ledger holds, and whether anything is still on its way.

-- name: count_ledger
-- Facts that events told, entries, and obligations that were announced.
select
    (select count(*) from facts where type <> 'time-passed') as events,
    (select count(*) from entries) as entries,
    (select count(*) from obligations) as overages

-- name: is_quiet
-- Whether records have been read, nothing is due and everything is published.
-- $1 now, $2 topic, $3 partition, $4 offset.
select
    not exists (
        select from unnest($2::text[], $3::integer[], $4::bigint[])
            as s (topic, partition, record_offset)
        left join positions as p on p.topic = s.topic and p.partition = s.partition
        where coalesce(p.next_offset, 0) <= s.record_offset
    )
    and not exists (select from due where due_at <= $1)
    and not exists (select from outbox) as is_quiet

-- name: dead_letters_of
-- Those of some records. $1 topic, $2 partition, $3 offset.
select d.reason, d.detail
from unnest($1::text[], $2::integer[], $3::bigint[]) with ordinality
    as s (topic, partition, record_offset, place)
join dead_letters as d
    on d.topic = s.topic and d.partition = s.partition and d.record_offset = s.record_offset
order by s.place
