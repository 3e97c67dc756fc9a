"""A ledger of booking credits: events in, idempotent entries, events out."""
