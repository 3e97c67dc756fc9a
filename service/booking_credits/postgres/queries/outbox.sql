-- name: lead_shard
-- Become the one that publishes a shard of this schema, until the session ends.
select pg_try_advisory_lock(hashtext('outbox of ' || current_schema()), $1::integer);

-- name: find_waiting
-- The shards that have something to publish, with when the first of it was recorded.
select shards.shard, first.recorded_at
from unnest($1::smallint[]) as shards (shard)
cross join lateral (
    select a.recorded_at
    from outbox as o
    inner join announcements as a using (account_id, sequence, part)
    where o.shard = shards.shard
    order by o.id
    limit 1
) as first
order by first.recorded_at;

-- name: read_page
-- The first of a shard's announcements, up to so many rows, and bytes beyond the first row.
select id, account_id, type, event_id, recorded_at, payload
from (
    select
        o.id, o.account_id, a.type, a.event_id, a.recorded_at, a.payload::text as payload,
        sum(octet_length(a.payload::text)) over (order by o.id) as bytes_through,
        row_number() over (order by o.id) as place
    from (select * from outbox where shard = $1 order by id limit $2) as o
    inner join announcements as a using (account_id, sequence, part)
) as page
where bytes_through <= $3 or place = 1
order by id;

-- name: remove_published
-- Forget what was published, if this session still leads the shard.
delete from outbox
where shard = $1 and id = any($2::bigint[])
    and exists (
        select from pg_locks
        where locktype = 'advisory' and granted and pid = pg_backend_pid()
            and database = (select oid from pg_database where datname = current_database())
            -- The locks show the two halves of the key without their signs.
            and classid::bigint
            = hashtext('outbox of ' || current_schema())::bigint & x'ffffffff'::bigint
            and objid::bigint = $1::bigint
    )
returning id;
