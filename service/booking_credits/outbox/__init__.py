"""Outbox: what the ledger announces becomes events, published in order for each account."""
