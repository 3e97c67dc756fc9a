-- How messages come in and go out. These tables belong to no account.

-- How far each input partition has been read. The fingerprint is of the record before
-- next_offset; the owner and epoch fence off a consumer that was replaced.
create table positions (
    topic text not null,
    partition integer not null,
    next_offset bigint not null default 0,
    fingerprint bytea,
    owner uuid not null,
    epoch bigint not null default 1,
    updated_at timestamptz not null default now(),
    primary key (topic, partition)
) with (fillfactor = 50);

-- What could not be posted, with its reason and as it came.
create table dead_letters (
    dead_letter_id uuid primary key,
    reason text not null,
    detail text not null,
    topic text not null,
    partition integer not null,
    record_offset bigint not null,
    record_timestamp timestamptz,
    key bytea,
    value bytea,
    headers jsonb not null,
    source text,
    event_id text,
    type text,
    account_id text,
    attempts integer not null default 1,
    received_at timestamptz not null
);
comment on column dead_letters.headers is 'pairs of name and base64 value, in their order';
create index dead_letters_by_time on dead_letters (received_at);

-- Announcements that wait to be published, in order within a shard of accounts.
create table outbox (
    shard smallint not null,
    id bigint generated always as identity,
    account_id text not null,
    sequence bigint not null,
    part smallint not null,
    primary key (shard, id)
);

-- Directory: instants at which time changes something in an account.
create table due (
    due_at timestamptz not null,
    account_id text not null,
    primary key (due_at, account_id)
);
