-- The last number of each of the kinds of announcements that joined the first three.
alter table accounts
add column last_request_rejected bigint not null default 0,
add column last_credits_expiring bigint not null default 0,
add column last_period_closed bigint not null default 0;
