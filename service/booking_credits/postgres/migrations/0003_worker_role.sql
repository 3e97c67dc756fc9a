-- The role that workers act as: what is append-only they may read and append to, nothing more.
do $$
begin
    create role booking_credits_worker nologin;
exception
    -- Roles belong to the whole server: another database may have made it, even just now.
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
