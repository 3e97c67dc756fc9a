-- Answers are facts: what was said to a fact that asked for something; null where it was accepted.
alter table facts add column answer text
constraint answers_are_known check (answer in ('declined'));

-- What becomes of what is uncovered of a line may be that its booking is declined.
alter table charges rename column channel to fallback;
