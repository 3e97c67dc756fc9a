-- The ledger of an account: facts in, entries out, and the state that the entries lead to.
-- Every table of an account's begins its key with account_id, so that accounts can be distributed.

-- One row an account: the last numbers given, and its present.
create table accounts (
    account_id text primary key,
    fact_no bigint not null default 0,
    entry_no bigint not null default 0,
    sequence bigint not null default 0,
    last_balance_changed bigint not null default 0,
    last_overage_detected bigint not null default 0,
    last_coverage_decided bigint not null default 0,
    present timestamptz,
    constraint numbers_are_not_negative check (fact_no >= 0 and entry_no >= 0 and sequence >= 0)
) with (fillfactor = 70);

-- What happened, as it was told. What is true of a subject is a fold over the subject's facts.
create table facts (
    account_id text not null,
    fact_no bigint not null,
    subject text not null,
    type text not null,
    source text not null,
    event_id text not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    payload json not null,
    payload_hash bytea not null,
    primary key (account_id, fact_no),
    constraint facts_are_numbered_from_one check (fact_no > 0)
);
create index facts_by_subject on facts (account_id, subject);

-- Directory: where a source's event went. The key is the permanent inbox.
create table events_received (
    source text not null,
    event_id text not null,
    account_id text not null,
    payload_hash bytea not null,
    primary key (source, event_id)
);

-- Directory: a booking belongs to one account for life.
create table bookings (
    booking_id text primary key,
    account_id text not null
);

-- A grant, and where its quantity is. An unlimited one has no rest, so nothing is available.
create table grants (
    account_id text not null,
    grant_id text not null,
    unit text not null,
    quantity bigint,
    from_at timestamptz not null,
    to_at timestamptz,
    scope json not null,
    priority integer not null,
    paid boolean not null,
    source text not null,
    granted bigint not null,
    available bigint not null,
    held bigint not null,
    drawn bigint not null,
    expired bigint not null,
    removed bigint not null,
    primary key (account_id, grant_id),
    constraint buckets_sum_to_granted
    check (granted = available + held + drawn + expired + removed),
    constraint no_bucket_is_negative
    check (available >= 0 and held >= 0 and drawn >= 0 and expired >= 0 and removed >= 0),
    constraint finite_grants_are_granted_whole check (quantity is null or granted = quantity),
    constraint unlimited_grants_have_no_rest
    check (quantity is not null or (available = 0 and expired = 0 and removed = 0))
) with (fillfactor = 70);
create index grants_by_end on grants (account_id, to_at);

-- A line that stands, with its place in the account's order and what is left uncovered of it.
create table charges (
    account_id text not null,
    booking_id text not null,
    line_no integer not null,
    revision integer not null,
    booked_at timestamptz not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    resource text not null,
    location text,
    product_group text,
    costs json not null,
    price_minor bigint,
    currency text,
    payable_by_credits boolean not null,
    discounted boolean not null,
    online_plan boolean not null,
    channel text,
    started_at timestamptz,
    rank text collate "C" not null,
    eligible boolean not null,
    takes json not null,
    uncovered text not null,
    short boolean not null,
    drawn boolean not null,
    due_at timestamptz,
    primary key (account_id, booking_id, line_no),
    constraint prices_have_a_currency check ((price_minor is null) = (currency is null))
) with (fillfactor = 70);
comment on column charges.costs is 'unit to steps';
comment on column charges.takes is 'pairs of grant and steps, in the order taken';
comment on column charges.uncovered is 'a fraction in lowest terms';
-- Those that would take more if there were more, in their order.
create index charges_short_by_rank on charges (account_id, rank) where short;
create index charges_by_due on charges (account_id, due_at) where due_at is not null;

-- The takes of all charges by grant: who took from it, in the account's order.
create table takes (
    account_id text not null,
    grant_id text not null,
    rank text collate "C" not null,
    booking_id text not null,
    starts_at timestamptz not null,
    primary key (account_id, grant_id, rank)
);

-- What is owed in cash for a line, as last announced.
create table obligations (
    account_id text not null,
    booking_id text not null,
    line_no integer not null,
    period_start date not null,
    currency text not null,
    channel text not null,
    period_end date not null,
    zone text not null,
    revision integer not null,
    total_minor bigint not null,
    is_open boolean not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    primary key (account_id, booking_id, line_no, period_start, currency, channel),
    constraint totals_are_not_negative check (total_minor >= 0),
    constraint closed_obligations_owe_nothing check (is_open or total_minor = 0)
);
comment on column obligations.currency is 'ISO 4217; empty where the line has no price';

-- The buckets of all grants of a unit together.
create table balances (
    account_id text not null,
    unit text not null,
    granted bigint not null,
    available bigint not null,
    held bigint not null,
    drawn bigint not null,
    expired bigint not null,
    removed bigint not null,
    primary key (account_id, unit),
    constraint balance_sums_to_granted
    check (granted = available + held + drawn + expired + removed),
    constraint no_balance_is_negative
    check (available >= 0 and held >= 0 and drawn >= 0 and expired >= 0 and removed >= 0)
) with (fillfactor = 70);

-- A quantity moved from one bucket of a grant to another, because of one fact.
create table entries (
    account_id text not null,
    entry_no bigint not null,
    fact_no bigint not null,
    grant_id text not null,
    source_bucket text not null,
    target_bucket text not null,
    quantity bigint not null,
    booking_id text,
    line_no integer,
    effective_at timestamptz not null,
    primary key (account_id, entry_no),
    constraint entries_are_numbered_from_one check (entry_no > 0),
    constraint quantities_are_positive check (quantity > 0),
    constraint entries_name_two_buckets check (
        source_bucket <> target_bucket
        and source_bucket in ('granted', 'available', 'held', 'drawn', 'expired', 'removed')
        and target_bucket in ('granted', 'available', 'held', 'drawn', 'expired', 'removed')
    ),
    constraint lines_are_named_whole check ((booking_id is null) = (line_no is null))
);

-- What was announced, part by part, exactly as it is published.
create table announcements (
    account_id text not null,
    sequence bigint not null,
    part smallint not null,
    type text not null,
    event_id uuid not null,
    fact_no bigint not null,
    recorded_at timestamptz not null,
    payload json not null,
    primary key (account_id, sequence, part)
);

-- Facts, entries and announcements are written once.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name
        using errcode = 'restrict_violation';
end
$$;
create trigger facts_are_append_only before update or delete or truncate on facts
for each statement execute function refuse_change();
create trigger entries_are_append_only before update or delete or truncate on entries
for each statement execute function refuse_change();
create trigger announcements_are_append_only before update or delete or truncate on announcements
for each statement execute function refuse_change();

-- Within an account facts, entries and announcements are numbered without gaps: each statement
-- appends right behind what is there.
create function require_next_numbers() returns trigger language plpgsql as $$
declare
    gap record;
begin
    execute format(
        'select n.account_id, min(n.%1$I) as lowest, max(n.%1$I) as highest,
                count(distinct n.%1$I) as amount,
                (select coalesce(max(t.%1$I), 0) from %2$I.%3$I as t
                  where t.account_id = n.account_id and t.%1$I < min(n.%1$I)) as before
           from added as n group by n.account_id
         having max(n.%1$I) - min(n.%1$I) + 1 <> count(distinct n.%1$I)
             or (select coalesce(max(t.%1$I), 0) from %2$I.%3$I as t
                  where t.account_id = n.account_id and t.%1$I < min(n.%1$I)) <> min(n.%1$I) - 1
          limit 1',
        tg_argv[0], tg_table_schema, tg_table_name
    ) into gap;
    if gap.account_id is not null then
        raise exception 'the numbers of % leave a gap in account %',
            tg_table_name, gap.account_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end
$$;
create trigger facts_leave_no_gap after insert on facts
referencing new table as added
for each statement execute function require_next_numbers('fact_no');
create trigger entries_leave_no_gap after insert on entries
referencing new table as added
for each statement execute function require_next_numbers('entry_no');
create trigger announcements_leave_no_gap after insert on announcements
referencing new table as added
for each statement execute function require_next_numbers('sequence');
