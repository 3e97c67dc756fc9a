"""Bench: how fast the service is, measured on real servers beside what it could be held against."""
