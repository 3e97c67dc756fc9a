-- Bookkeeping of migrations.

-- name: lock_migrations
-- Let one migrating session go at a time, until it disconnects.
select pg_advisory_lock(hashtext('booking-credits migrations'))

-- name: create_migrations
-- Keep what was applied, from which text and when.
create table if not exists migrations (
    name text primary key,
    checksum bytea not null,
    applied_at timestamptz not null default now()
)

-- name: find_migrations_table
-- Null where nothing was ever applied.
select to_regclass('migrations')::text

-- name: applied
-- What was applied.
select name, checksum from migrations order by name

-- name: record_migration
-- $1 name, $2 checksum.
insert into migrations (name, checksum) values ($1, $2)
