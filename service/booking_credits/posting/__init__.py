"""Posting: one batch of what arrived becomes one transaction of the ledger."""
