"""Health: how a worker is, for probes, for metrics and for the watchdog that may end it."""
