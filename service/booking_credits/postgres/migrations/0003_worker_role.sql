-- The role that workers act as: what is append-only they may read and append to, nothing more.
-- It belongs to the whole server, where an administrator may have made it already.
do $$
begin
    if not exists (select from pg_roles where rolname = 'booking_credits_worker') then
        create role booking_credits_worker nologin;
    end if;
exception
    -- The migration of another database made it just now.
    when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
    if not pg_has_role(current_user, 'booking_credits_worker', 'member') then
        execute format('grant booking_credits_worker to %I', current_user);
    end if;
    execute format('grant usage on schema %I to booking_credits_worker', current_schema());
end
$$;
grant select, insert on facts, entries, announcements to booking_credits_worker;
grant select, insert, update, delete on
accounts, events_received, bookings, grants, charges, takes, obligations, balances,
positions, dead_letters, outbox, due
to booking_credits_worker;
grant select on migrations to booking_credits_worker;
