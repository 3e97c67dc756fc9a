"""The ledger: facts in, coverage and entries out. Plain Python, without I/O or clock."""
