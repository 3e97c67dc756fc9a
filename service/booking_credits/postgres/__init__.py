"""Where it is kept: the only package that speaks to Postgres. Its SQL lies in .sql files."""
