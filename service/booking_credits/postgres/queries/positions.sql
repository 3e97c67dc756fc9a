-- name: take_positions
-- Make partitions an owner's: from here on whoever held them before is fenced off.
insert into positions (topic, partition, owner)
select taken.topic, taken.partition, $3::uuid
from unnest($1::text[], $2::integer[]) as taken (topic, partition)
order by taken.topic, taken.partition
on conflict (topic, partition) do update
set owner = excluded.owner, epoch = positions.epoch + 1, updated_at = now()
returning topic, partition, next_offset, fingerprint, epoch;
