-- What people did about dead letters. A letter is open until someone replays or discards it.
create table dead_letter_actions (
    dead_letter_id uuid not null,
    action_no integer not null,
    action text not null,
    actor text not null,
    reason text not null,
    acted_at timestamptz not null default now(),
    primary key (dead_letter_id, action_no),
    constraint actions_are_known check (action in ('replayed', 'discarded')),
    constraint actions_are_signed check (actor <> '' and reason <> '')
);
create trigger dead_letter_actions_are_append_only
before update or delete or truncate on dead_letter_actions
for each statement execute function refuse_change();
grant select, insert on dead_letter_actions to booking_credits_worker;

-- A record that was replayed and failed again is a letter of its own, which names the first.
alter table dead_letters add column first_letter_id uuid;
create index dead_letters_by_first on dead_letters (first_letter_id)
where first_letter_id is not null;
