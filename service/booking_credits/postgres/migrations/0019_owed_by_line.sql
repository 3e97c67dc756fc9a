-- A statement finds what is owed by the lines that are closed, no longer by the period's name.
drop index obligations_by_period;
