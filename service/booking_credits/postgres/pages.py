"""Pages: how many charges are read at a time for a question that may reach any number of them.

With each page the fact that asked is settled from its beginning again, so who asks on gets twice as
many: at most twice what was needed is read, and a fact that reaches thousands of charges is settled
a few times more than one that reaches a hundred.
"""

from __future__ import annotations

from typing import Any, NamedTuple

PAGE_SIZE = 64


class Page(NamedTuple):
    """Where the charges were found, and whether there are no more of them."""

    places: list[Any]
    is_last: bool


class PageSizes:
    """The size of the next page of each question, doubled where the last one came full."""

    def __init__(self, first: int) -> None:
        """Begin each question with the same size."""
        self._first = first
        self._sizes: dict[object, int] = {}

    def of(self, question: object) -> int:
        """Say how many to read next."""
        return self._sizes.get(question, self._first)

    def page(self, question: object, places: list[Any]) -> Page:
        """Make a page of what was found; a full one lets the next be larger."""
        size = self.of(question)
        is_full = len(places) >= size
        if is_full:
            self._sizes[question] = 2 * size
        return Page(places, not is_full)
