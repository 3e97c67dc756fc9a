-- name: take_positions
-- Make partitions an owner's: from here on whoever held them before is fenced off.
insert into positions (topic, partition, owner)
select taken.topic, taken.partition, $3::uuid
from unnest($1::text[], $2::integer[]) as taken (topic, partition)
order by taken.topic, taken.partition
on conflict (topic, partition) do update
set owner = excluded.owner, epoch = positions.epoch + 1, updated_at = now()
returning topic, partition, next_offset, fingerprint, epoch;

-- name: note_ends
-- Partitions whose end was seen are read through that instant, if they are still this owner's.
-- $1 topic, $2 partition, $3 epoch, $4 when the end was seen, $5 owner.
update positions as p
set read_through = greatest(p.read_through, w.seen_at)
from unnest($1::text[], $2::integer[], $3::bigint[], $4::timestamptz[])
as w (topic, partition, epoch, seen_at)
where p.topic = w.topic and p.partition = w.partition and p.owner = $5 and p.epoch = w.epoch;

-- name: complete_through
-- The instant through which topics were read: the least of their partitions, and null while one
-- of them has not been read at all. $1 topic.
select case when bool_and(p.read_through is not null) then min(p.read_through) end
from unnest($1::text[]) as w (topic) left join positions as p on p.topic = w.topic;
