-- An account comes to have many rows, however few the first ones have when they are counted: where
-- two indexes begin with the account, the one that knows more of what is looked for is the better.
alter table facts alter column account_id set (n_distinct = -0.001);
alter table facts alter column subject set (n_distinct = -0.5);
alter table entries alter column account_id set (n_distinct = -0.001);
alter table announcements alter column account_id set (n_distinct = -0.001);
alter table charges alter column account_id set (n_distinct = -0.001);
alter table takes alter column account_id set (n_distinct = -0.001);
alter table grants alter column account_id set (n_distinct = -0.01);
alter table obligations alter column account_id set (n_distinct = -0.001);
alter table closed_lines alter column account_id set (n_distinct = -0.001);
