-- Rebuilding the ledger from its facts, in a schema that ends with its transaction. Where accounts
-- are a parameter, null means all.

-- name: choose_accounts
-- Some accounts, others each time. $1 how many.
select account_id from accounts order by random() limit $1

-- name: count_facts
-- How many facts there are. $1 accounts.
select count(*) from facts where $1::text[] is null or account_id = any($1)

-- name: facts_on_record
-- Every fact, as it was told, in the order in which its account recorded it. $1 accounts.
select account_id, fact_no, type, source, event_id, occurred_at, recorded_at, payload,
    payload_hash, answer
from facts where $1::text[] is null or account_id = any($1) order by account_id, fact_no

-- name: schema_on_record
-- Where the ledger is.
select current_schema()

-- name: create_shadow
-- Make an empty schema of this session's own.
do $$
begin
    execute format('create schema %I', 'rebuild_' || pg_backend_pid());
end
$$

-- name: enter_shadow
-- Find tables there alone, until the transaction ends. A plan made while they are empty must stay
-- a good one as they fill, so plans that read whole tables are ruled out. What has no other plan
-- counts as dear, and would be compiled for longer than it runs.
select set_config('search_path', quote_ident('rebuild_' || pg_backend_pid()), true),
    set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)

-- name: plan_freely
-- Let whole tables be read again.
select set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true),
    set_config('enable_mergejoin', 'on', true)

-- name: name_accounts
-- Write the query that makes the rows of accounts: one of which every event was refused has no
-- facts. $1 schema on record; of what is written $1 are the accounts.
select format(
    'insert into accounts (account_id) select account_id from %I.accounts
    where $1::text[] is null or account_id = any($1)', $1::text)

-- name: write_comparison
-- Write the query that finds rows of a table that were rebuilt otherwise, byte for byte, with the
-- columns that differ. $1 schema on record, $2 table, $3 how many at most; of what is written $1 are
-- the accounts.
with columns as (
    select string_agg(quote_ident(a.attname), ', ' order by k.place) filter (where k.place > 0)
            as key,
        string_agg(
            format(
                'case when recorded.%1$I::text is distinct from rebuilt.%1$I::text then %1$L end',
                a.attname
            ), ', ' order by a.attnum
        ) as differing
    from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum > 0
    left join lateral unnest(i.indkey) with ordinality as k (attnum, place) on k.attnum = a.attnum
    where i.indrelid = to_regclass($2) and i.indisprimary and not a.attisdropped
)
select format(
    $query$
    select account_id, concat_ws(' ', %1$s) as key,
        recorded is null as is_missing, rebuilt is null as is_extra,
        array_to_string(array[%2$s], ', ') as columns
    from %3$I.%4$I as recorded full join %4$I as rebuilt using (%1$s)
    where ($1::text[] is null or account_id = any($1))
        and recorded::text is distinct from rebuilt::text
    order by %1$s limit %5$s
    $query$,
    key, differing, $1::text, $2::text, $3::integer
)
from columns
