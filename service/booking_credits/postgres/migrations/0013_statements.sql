-- A statement sums up the entries of a period's time, and what is owed for it.
create index entries_by_time on entries (account_id, effective_at);
create index obligations_by_period on obligations (account_id, period_start);
