"""How reading goes, for whoever watches."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from booking_credits.posting.batch import Batch, Posted


@dataclass
class InboxState:
    """Counts since the start; instants are of the monotonic clock.

    `batch_began_at` is None while no batch is in hand; of one that is posted in parts,
    `posting_began_at` is when the last of them was begun. `outcomes` counts arrivals and dead
    letters as `Posted` does, `failures` the times that a batch had to be tried again, and `polls`
    the times that Kafka's client was asked for records without an error.
    """

    last_progress_at: float = field(default_factory=time.monotonic)
    batch_began_at: float | None = None
    posting_began_at: float | None = None
    polls: int = 0
    batches: int = 0
    records: int = 0
    posting_seconds: float = 0.0
    last_batch_records: int = 0
    last_batch_seconds: float = 0.0
    failures: int = 0
    fenced: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def begin(self) -> None:
        """Note that a batch is in hand, or that a part of it is begun by itself."""
        self.posting_began_at = time.monotonic()
        if self.batch_began_at is None:
            self.batch_began_at = self.posting_began_at

    def end(self) -> None:
        """Note that no batch is in hand."""
        self.batch_began_at = self.posting_began_at = None

    def note_posted(self, batch: Batch, posted: Posted) -> None:
        """Note what became of the batch in hand, or a part of it."""
        now = time.monotonic()
        began_at = now if self.posting_began_at is None else self.posting_began_at
        self.last_progress_at = now
        self.last_batch_records = len(batch.arrivals) + len(batch.dead_letters)
        self.last_batch_seconds = now - began_at
        self.batches += 1
        self.records += self.last_batch_records
        self.posting_seconds += self.last_batch_seconds
        self.outcomes.update(posted.outcomes)
