-- What could not be posted, for the people who look after it.

-- name: find_letters
-- Letters in the order in which they came, without what they hold. $1 the state or null for any,
-- $2 reason, $3 account and $4 topic, each null for any, $5 how many.
select d.dead_letter_id, d.reason, d.detail, d.topic, d.partition, d.record_offset,
    d.record_timestamp, d.source, d.event_id, d.type, d.account_id, d.attempts,
    d.first_letter_id, d.received_at, octet_length(d.value) as value_bytes,
    coalesce(last.action, 'open') as state
from dead_letters as d
left join lateral (
    select a.action from dead_letter_actions as a where a.dead_letter_id = d.dead_letter_id
    order by a.action_no desc limit 1
) as last on true
where ($1::text is null or coalesce(last.action, 'open') = $1)
    and ($2::text is null or d.reason = $2)
    and ($3::text is null or d.account_id = $3)
    and ($4::text is null or d.topic = $4)
order by d.received_at, d.topic, d.partition, d.record_offset
limit $5

-- name: letters_by_id
-- As find_letters. $1 ids.
select d.dead_letter_id, d.reason, d.detail, d.topic, d.partition, d.record_offset,
    d.record_timestamp, d.source, d.event_id, d.type, d.account_id, d.attempts,
    d.first_letter_id, d.received_at, octet_length(d.value) as value_bytes,
    coalesce(last.action, 'open') as state
from dead_letters as d
left join lateral (
    select a.action from dead_letter_actions as a where a.dead_letter_id = d.dead_letter_id
    order by a.action_no desc limit 1
) as last on true
where d.dead_letter_id = any($1::uuid[])
order by d.received_at, d.topic, d.partition, d.record_offset

-- name: record_of_letter
-- What a letter holds, exactly as it came. $1 id.
select key, value, headers from dead_letters where dead_letter_id = $1

-- name: actions_of_letter
-- $1 id.
select action, actor, reason, acted_at from dead_letter_actions
where dead_letter_id = $1 order by action_no

-- name: lock_letter
-- Let nobody else act on a letter until the transaction ends. $1 id.
select from dead_letters where dead_letter_id = $1 for update

-- name: put_action
-- $1 id, $2 action, $3 actor, $4 reason.
insert into dead_letter_actions (dead_letter_id, action_no, action, actor, reason)
select
    $1,
    (
        select coalesce(max(action_no), 0) + 1 from dead_letter_actions where dead_letter_id = $1
    ),
    $2, $3, $4
