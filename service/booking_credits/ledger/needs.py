"""Needs: what a question about an account asks for that has not been loaded.

Whoever keeps the record loads it and asks again. `Reach` says how far a record has been loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from booking_credits.ledger.charges import LAST_RANK
from booking_credits.ledger.postings import PostedAround

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from booking_credits.ledger.charges import Charge, Rank
    from booking_credits.ledger.grants import Grant


@dataclass(frozen=True, slots=True)
class TakersBelow:
    """Wanted: the last charges that take from a grant and rank below a rank, down to another."""

    grant_id: str
    place: Rank
    above: Rank

    @property
    def question(self) -> str:
        """What is asked from every place: the grant."""
        return self.grant_id


@dataclass(frozen=True, slots=True)
class WantingAbove:
    """Wanted: the first charges above a rank that would take more from a grant."""

    grant: Grant
    place: Rank
    better_ids: frozenset[str]

    @property
    def question(self) -> Question:
        """What is asked from every place; the same grant reading otherwise is another question."""
        return self.grant, self.better_ids


@dataclass(frozen=True, slots=True)
class GrantsEndingAfter:
    """Wanted: the grants that end after an instant, and the one that ended last before it."""

    instant: datetime


@dataclass(frozen=True, slots=True)
class LinesWithin:
    """Wanted: the first lines that start from an instant on, within a window `[from_at, to_at)`."""

    from_at: datetime
    to_at: datetime
    place: datetime

    @property
    def question(self) -> tuple[datetime, datetime]:
        """What is asked from every place: the window."""
        return self.from_at, self.to_at


@dataclass(frozen=True, slots=True)
class LinesFrom:
    """Wanted: all lines that start at an instant or later."""

    instant: datetime


@dataclass(frozen=True, slots=True)
class OpenLinesBefore:
    """Wanted: the lines that start before an instant and are not closed."""

    instant: datetime


@dataclass(frozen=True, slots=True)
class DueBy:
    """Wanted: the charges that time changes by an instant, and the grants that end by another."""

    instant: datetime
    last_end: datetime


@dataclass(frozen=True, slots=True)
class FactsOf:
    """Wanted: the facts of a subject."""

    subject: str


@dataclass(frozen=True, slots=True)
class Everything:
    """Wanted: the whole account."""


Wants: TypeAlias = "Callable[[Grant, Charge], bool]"
Question: TypeAlias = "tuple[Grant, frozenset[str]]"
Need: TypeAlias = (
    TakersBelow
    | WantingAbove
    | GrantsEndingAfter
    | LinesWithin
    | LinesFrom
    | OpenLinesBefore
    | DueBy
    | FactsOf
    | Everything
    | PostedAround
)


class NotLoaded(Exception):
    """The record does not reach far enough to answer; `needs` say what is missing."""

    def __init__(self, *needs: Need) -> None:
        """Keep what is missing."""
        self.needs = needs


@dataclass
class Reach:
    """How far the record has been loaded.

    Takers of a grant are loaded from a rank on upwards, charges that want more of it within a
    span of ranks `(low, high]`, lines of a window up to an instant, all lines that start from one
    on, those that are not closed before one, grants from an end on, due charges through an
    instant. Where it is known, nobody
    takes from a grant above the rank `last_taken` but who is loaded, and no charge above the rank
    `last_short` or that starts after `short_through` is short but those that are loaded; a grant
    that came after loading was taken from by nobody before.
    """

    whole: bool = False
    takers_from: dict[str, Rank] = field(default_factory=dict)
    wanting_within: dict[Question, tuple[Rank, Rank]] = field(default_factory=dict)
    lines_up_to: dict[tuple[datetime, datetime], datetime] = field(default_factory=dict)
    lines_from: datetime | None = None
    open_before: datetime | None = None
    grants_after: datetime | None = None
    due_through: datetime | None = None
    last_taken: dict[str, Rank] = field(default_factory=dict)
    last_short: Rank = LAST_RANK
    short_through: datetime | None = None

    def add_wanting(self, need: WantingAbove, end: Rank) -> None:
        """Note that charges which want more were loaded from where it was asked up to an end.

        What was loaded before counts on where it meets that.
        """
        low, high = self.wanting_within.get(need.question, (need.place, end))
        meets = low <= end and need.place <= high
        within = (min(low, need.place), max(high, end)) if meets else (need.place, end)
        self.wanting_within[need.question] = within

    def has_lines_from(self, instant: datetime) -> bool:
        """Say whether all lines that start from an instant on are loaded."""
        return self.whole or (self.lines_from is not None and self.lines_from <= instant)
