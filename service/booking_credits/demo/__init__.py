"""Demo: a day in a workspace, played through Kafka and shown as subscribers see it."""
