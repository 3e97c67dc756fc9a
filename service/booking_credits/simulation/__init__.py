"""Simulation: what the service would publish for a file of events, without any server."""
