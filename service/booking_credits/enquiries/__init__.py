"""Enquiries: what people ask of the ledger, answered without changing anything."""
