-- Relays are told when something begins to wait, so that none has to look for it all the time.
-- Telling holds a lock of the whole database while a transaction commits: a moment for each batch.
create function tell_relays() returns trigger language plpgsql as $$
begin
    notify booking_credits_outbox;
    return null;
end
$$;
create trigger relays_are_told after insert on outbox
for each statement execute function tell_relays();
