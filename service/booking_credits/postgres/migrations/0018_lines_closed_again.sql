-- A line that was given back whole is open again, and listed by a later closing, too. The last
-- that lists it counts: the one with the latest end.
alter table closed_lines disable trigger closed_lines_are_append_only;
alter table closed_lines add column until timestamptz;
update closed_lines as k set until = (f.payload ->> 'ends_at')::timestamptz
from facts as f cross join lateral json_array_elements(f.payload -> 'lines') as l (said)
where f.account_id = k.account_id and f.type = 'period-closed'
    and l.said ->> 'booking_id' = k.booking_id and (l.said ->> 'line')::integer = k.line_no;
alter table closed_lines alter column until set not null;
alter table closed_lines drop constraint closed_lines_pkey;
alter table closed_lines add primary key (account_id, booking_id, line_no, until);
alter table closed_lines enable trigger closed_lines_are_append_only;
comment on column closed_lines.until is 'the end of the period that was closed';
