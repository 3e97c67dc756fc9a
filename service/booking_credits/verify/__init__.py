"""Verify: the ledger held against its own rules, and rebuilt from its facts."""
