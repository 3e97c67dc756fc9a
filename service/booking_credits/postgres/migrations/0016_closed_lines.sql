-- A line that was closed keeps its takes. As it stood then it stays on record, whatever becomes of it.
create table closed_lines (
    account_id text not null,
    booking_id text not null,
    line_no integer not null,
    said json not null,
    primary key (account_id, booking_id, line_no)
);
comment on column closed_lines.said is 'the line and its takes, as the closing lists them';
create trigger closed_lines_are_append_only before update or delete or truncate on closed_lines
for each statement execute function refuse_change();
grant select, insert on closed_lines to booking_credits_worker;

alter table charges add column closed json;
comment on column charges.closed is
'of a line that was closed, the takes that it keeps; takes has only those that it may have to give up';
create index charges_open_by_start on charges (account_id, starts_at) where closed is null;

alter table accounts add column closed_through timestamptz;
update accounts as a set closed_through = c.open_from
from closings as c where c.account_id = a.account_id and a.last_period_closed > 0;

-- Closed lines may keep more than a later version of a grant gives, and more than its cap.
alter table grants drop constraint rolled_within_the_cap;
alter table grants add constraint only_caps_are_rolled
check (rolled >= 0 and (rolled = 0 or roll_cap is not null));
alter table grants drop constraint finite_grants_are_granted_whole;
alter table grants add constraint finite_grants_are_granted_whole
check (quantity is null or pending or granted = greatest(quantity, held + drawn));
