-- A header's name may hold what jsonb cannot, such as NUL; json keeps it as it is written.
alter table dead_letters alter column headers type json;
