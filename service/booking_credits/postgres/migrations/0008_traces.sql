-- The trace that an announcement belongs to, in the words of the W3C: transport, not ledger.
alter table outbox add column traceparent text;
