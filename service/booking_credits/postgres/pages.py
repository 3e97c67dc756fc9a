"""Pages: how many charges are read at a time for a question that may reach any number of them.

With each page the fact that asked is settled from its beginning again, so who asks on gets twice as
many: at most twice what was needed is read, and a fact that reaches thousands of charges is settled
a few times more than one that reaches a hundred. Who asks from elsewhere begins with a first page.
"""

from __future__ import annotations

PAGE_SIZE = 64


class PageSizes:
    """The size of the next page of each question, by the place from which it is asked."""

    def __init__(self, first: int) -> None:
        """Begin everywhere with the same size."""
        self._first = first
        self._sizes: dict[object, int] = {}

    def of(self, question: object, place: object) -> int:
        """Say how many to read from a place on."""
        return self._sizes.get((question, place), self._first)

    def double(self, question: object, place: object, size: int) -> None:
        """Let the page that goes on where one of a size ended be larger."""
        self._sizes[question, place] = 2 * size
