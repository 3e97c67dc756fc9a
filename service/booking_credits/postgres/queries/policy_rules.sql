-- The rules by which this ledger is computed.

-- name: recorded_rules
-- What is on record.
select name, content::text as content from policy_rules order by name

-- name: record_rules
-- $1 name, $2 content.
insert into policy_rules (name, content)
select * from unnest($1::text[], $2::json[])
on conflict do nothing
