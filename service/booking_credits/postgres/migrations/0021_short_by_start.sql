-- Who wants more of a new grant starts in its window, and was booked whenever.
create index charges_short_by_start on charges (account_id, starts_at) where short;
