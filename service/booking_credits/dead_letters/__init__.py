"""Dead letters: looked at, replayed and discarded by people, who sign for it."""
