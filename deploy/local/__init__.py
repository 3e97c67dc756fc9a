"""Kafka and Postgres for one machine: found by an address, or started here and taken down again."""
