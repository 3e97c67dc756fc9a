-- How the database is.

-- name: look
-- What waits. $1 how many shards there are, $2 the present. Letters are counted up to a number that says enough.
select
    (
        select min(first.recorded_at)
        from generate_series(0, $1 - 1) as shards (shard)
        cross join lateral (
            select a.recorded_at
            from outbox as o
            inner join announcements as a using (account_id, sequence, part)
            where o.shard = shards.shard
            order by o.id
            limit 1
        ) as first
    ) as oldest_unpublished,
    (select min(due_at) from due) as oldest_due,
    (
        select count(*) from (
            select from closings where closes_at <= $2 limit 10000
        ) as waiting
    ) as periods_waiting_to_close,
    (select min(closes_at) from closings where closes_at <= $2) as oldest_waiting_to_close,
    (
        select count(*) from (
            select from dead_letters as d
            where not exists (
                select from dead_letter_actions as a where a.dead_letter_id = d.dead_letter_id
            )
            limit 10000
        ) as open
    ) as dead_letters_open
