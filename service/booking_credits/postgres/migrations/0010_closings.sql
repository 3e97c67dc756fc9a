-- Directory: the period of each account that is closed next, and when.
create table closings (
    account_id text primary key,
    open_from timestamptz not null,
    period_start date not null,
    ends_at timestamptz not null,
    closes_at timestamptz not null,
    constraint periods_close_after_their_end check (open_from < ends_at and ends_at <= closes_at)
) with (fillfactor = 70);
create index closings_by_time on closings (closes_at, account_id);
grant select, insert, update, delete on closings to booking_credits_worker;
