"""The clock: finds what is due and posts it as a fact for the instant at which it was due."""
