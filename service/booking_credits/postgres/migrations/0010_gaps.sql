-- The triggers that refuse gaps, one function for each table, so that its plan is kept; each looks
-- for the number before the lowest only once an account. The primary keys refuse what comes twice.
-- A plan made while a table is small must stay a good one as it fills, so none reads it whole.
create function require_next_facts() returns trigger language plpgsql
set search_path from current set enable_seqscan = off as $$
declare
    gap text;
begin
    select n.account_id into gap
    from (
        select account_id, min(fact_no) as lowest, max(fact_no) as highest, count(*) as amount
        from added group by account_id
    ) as n
    where n.highest - n.lowest + 1 <> n.amount or n.lowest <> 1 + (
        select coalesce(max(f.fact_no), 0) from facts as f
        where f.account_id = n.account_id and f.fact_no < n.lowest
    )
    limit 1;
    if gap is not null then
        raise exception 'the numbers of % leave a gap in account %', tg_table_name, gap
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end
$$;
create function require_next_entries() returns trigger language plpgsql
set search_path from current set enable_seqscan = off as $$
declare
    gap text;
begin
    select n.account_id into gap
    from (
        select account_id, min(entry_no) as lowest, max(entry_no) as highest, count(*) as amount
        from added group by account_id
    ) as n
    where n.highest - n.lowest + 1 <> n.amount or n.lowest <> 1 + (
        select coalesce(max(e.entry_no), 0) from entries as e
        where e.account_id = n.account_id and e.entry_no < n.lowest
    )
    limit 1;
    if gap is not null then
        raise exception 'the numbers of % leave a gap in account %', tg_table_name, gap
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end
$$;
-- An announcement's parts share its number, and each has a first.
create function require_next_announcements() returns trigger language plpgsql
set search_path from current set enable_seqscan = off as $$
declare
    gap text;
begin
    select n.account_id into gap
    from (
        select account_id, min(sequence) as lowest, max(sequence) as highest,
            count(*) filter (where part = 1) as amount
        from added group by account_id
    ) as n
    where n.highest - n.lowest + 1 <> n.amount or n.lowest <> 1 + (
        select coalesce(max(a.sequence), 0) from announcements as a
        where a.account_id = n.account_id and a.sequence < n.lowest
    )
    limit 1;
    if gap is not null then
        raise exception 'the numbers of % leave a gap in account %', tg_table_name, gap
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end
$$;
drop trigger facts_leave_no_gap on facts;
drop trigger entries_leave_no_gap on entries;
drop trigger announcements_leave_no_gap on announcements;
create trigger facts_leave_no_gap after insert on facts
referencing new table as added
for each statement execute function require_next_facts();
create trigger entries_leave_no_gap after insert on entries
referencing new table as added
for each statement execute function require_next_entries();
create trigger announcements_leave_no_gap after insert on announcements
referencing new table as added
for each statement execute function require_next_announcements();
drop function require_next_numbers();
