"""Progress: how whoever waits is told how far a verification has come."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told how far each stage has come."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that a part of a stage is done."""
