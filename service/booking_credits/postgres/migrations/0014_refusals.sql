-- A removal that is refused is a fact like any other, with its answer.
alter table facts drop constraint answers_are_known;
alter table facts add constraint answers_are_known check (answer in ('declined', 'refused'));
