-- The rules by which this ledger is computed. A rebuild reads the same facts by the same rules.
create table policy_rules (
    name text primary key,
    content json not null,
    recorded_at timestamptz not null default now()
);
comment on column policy_rules.name is 'default, or unit, policy or location and its name';
create trigger policy_rules_are_append_only before update or delete or truncate on policy_rules
for each statement execute function refuse_change();
grant select, insert on policy_rules to booking_credits_worker;
