"""Inbox: records of Kafka become facts, or dead letters that say why not."""
