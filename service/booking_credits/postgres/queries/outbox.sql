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

-- name: read_pages
-- The first of each shard's announcements, up to so many rows, and bytes beyond the first row.
-- $1 shards, $2 rows, $3 bytes.
select page.shard, page.id, page.account_id, page.type, page.event_id, page.recorded_at,
    page.payload, page.traceparent
from unnest($1::smallint[]) as shards (shard)
cross join lateral (
    select
        o.shard, o.id, o.account_id, a.type, a.event_id, a.recorded_at, a.payload::text as payload,
        o.traceparent,
        sum(octet_length(a.payload::text)) over (order by o.id) as bytes_through,
        row_number() over (order by o.id) as place
    from (select * from outbox where shard = shards.shard order by id limit $2) as o
    inner join announcements as a using (account_id, sequence, part)
) as page
where page.bytes_through <= $3 or page.place = 1
order by page.id;

-- name: remove_published
-- Forget what was published of shards that this session still leads. $1 shard, $2 id.
delete from outbox
where ctid = any(array(
    -- Each by its key, also while the table is said to be empty, as it often is.
    select found.ctid
    from unnest($1::smallint[], $2::bigint[]) as w (shard, id)
    cross join lateral (
        select o.ctid from outbox as o where o.shard = w.shard and o.id = w.id offset 0
    ) as found
    where w.shard in (
        select objid::bigint from pg_locks
        where locktype = 'advisory' and granted and pid = pg_backend_pid()
            and database = (select oid from pg_database where datname = current_database())
            -- The locks show the two halves of the key without their signs.
            and classid::bigint
            = hashtext('outbox of ' || current_schema())::bigint & x'ffffffff'::bigint
    )
))
returning id;
