"""Allotments: what plans and accounts are allotted, and what an account brings along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from booking_credits.ledger.facts import Scope

if TYPE_CHECKING:
    from datetime import datetime

    from booking_credits.ledger.facts import Rollover


@dataclass(frozen=True, slots=True)
class Allotment:
    """What one line of a plan allots for a period; without quantity unlimited."""

    plan_line: str
    unit: str
    quantity: int | None
    scope: Scope = field(default_factory=Scope)
    priority: int = 100
    rollover: Rollover | None = None


@dataclass(frozen=True, slots=True)
class StandingAllotment:
    """What an account is allotted in each of its billing periods; without quantity unlimited.

    A renewal of `plan_line` for a period, where that is named, takes the place of what is
    allotted for that period.
    """

    name: str
    unit: str
    quantity: int | None
    scope: Scope = field(default_factory=Scope)
    priority: int = 100
    plan_line: tuple[str, str] | None = None
    rollover: Rollover | None = None


@dataclass(frozen=True, slots=True)
class OpeningBalance:
    """What an account brings along of a unit when it is opened; usable until `valid_to`, if any."""

    unit: str
    quantity: int
    scope: Scope = field(default_factory=Scope)
    valid_to: datetime | None = None
