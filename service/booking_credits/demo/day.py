"""The day that is played: what happens, when, and what the ledger should make of it.

Tuesday, 10 March 2026 in a workspace in Berlin, and then the end of that month. Acorn and Elm
live by the policy `coins`, Birch by `tenant-credits`, Cedar by `packs`. Dogwood never opened its
account, so the default terms hold for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from booking_credits.demo.events import Company, Event, Room, at


@dataclass(frozen=True, slots=True)
class Effects:
    """What comes out of a step: entries, cash owed more or less, decisions, refusals."""

    entries: int = 0
    owed_minor: int = 0
    decided: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at a time; without events, time passes until then."""

    at: datetime
    title: str
    expects: Effects
    events: tuple[Event, ...] = ()


_MARCH: Final = date(2026, 3, 1)
_MARCH_10: Final = date(2026, 3, 10)
_MARCH_11: Final = date(2026, 3, 11)
_MARCH_12: Final = date(2026, 3, 12)
_MARCH_13: Final = date(2026, 3, 13)
_APRIL: Final = date(2026, 4, 1)

_ACORN: Final = Company("acorn")
_BIRCH: Final = Company("birch")
_CEDAR: Final = Company("cedar")
_DOGWOOD: Final = Company("dogwood")
_ELM: Final = Company("elm")

_ATRIUM: Final = Room("atrium", euros=30, credits=3)
_BOARD: Final = Room("board-room", euros=50, credits=5)
_OAK: Final = Room("oak-room", euros=20, credits=2)
_PINE: Final = Room("pine-room", euros=25, credits=3)
_STUDIO: Final = Room("studio", euros=45, credits=3)


def _today(clock: str) -> datetime:
    return at(_MARCH_10, clock)


def _mistype(booking: Event) -> Event:
    """Write the revision as text."""
    return replace(booking, data=booking.data | {"revision": "1"})


OPENS_AT: Final = _today("07:55")

_ARRIVING: Final = (
    Step(
        _today("08:00"),
        "Four companies open their accounts; Dogwood does not",
        Effects(),
        (
            _ACORN.opens_account(_today("08:00"), "coins"),
            _BIRCH.opens_account(_today("08:00"), "tenant-credits"),
            _CEDAR.opens_account(_today("08:00"), "packs"),
            _ELM.opens_account(_today("08:00"), "coins"),
        ),
    ),
    Step(
        _today("08:05"),
        "Acorn's and Birch's plans renew for March; word of Elm's is late",
        Effects(entries=3),
        (
            _ACORN.renews(_today("08:05"), _MARCH, minute="90", coin="200"),
            _BIRCH.renews(_today("08:05"), _MARCH, credit="10"),
        ),
    ),
    Step(
        _today("08:10"),
        "Cedar buys a pack of twelve credits and is invoiced; Dora welcomes Dogwood",
        Effects(entries=2),
        (
            _CEDAR.buys(_today("08:10"), "pack-12", months=3, euros=120, credit="12"),
            _CEDAR.is_invoiced(_today("08:10"), "pack-12", "invoice-1"),
            _DOGWOOD.is_granted(_today("08:10"), "welcome-dogwood", "a welcome", coin="25"),
        ),
    ),
)

_BOOKING: Final = (
    Step(
        _today("08:20"),
        "Acorn books two hours: its minutes pay first, coins pay the rest",
        Effects(entries=2, decided=("covered",)),
        (_ACORN.books(_today("08:20"), "team", _OAK.line(_today("10:00"), 2)),),
    ),
    Step(
        _today("08:25"),
        "Acorn makes it three hours",
        Effects(entries=1, decided=("covered",)),
        (
            _ACORN.books(
                _today("08:25"),
                "team",
                _OAK.line(_today("10:00"), 3),
                revision=2,
                booked_at=_today("08:20"),
            ),
        ),
    ),
    Step(
        _today("08:30"),
        "Acorn moves it to tomorrow: the same credits pay, so nothing moves",
        Effects(decided=("covered",)),
        (
            _ACORN.books(
                _today("08:30"),
                "team",
                _OAK.line(at(_MARCH_11, "10:00"), 3),
                revision=3,
                booked_at=_today("08:20"),
            ),
        ),
    ),
    Step(
        _today("08:35"),
        "Birch books the atrium: credits are held until the meeting is over",
        Effects(entries=1, decided=("covered",)),
        (_BIRCH.books(_today("08:35"), "clients", _ATRIUM.line(_today("09:30"), 2)),),
    ),
    Step(
        _today("08:40"),
        "Birch books the studio on three days, for more than it has left",
        Effects(entries=2, decided=("partly",)),
        (
            _BIRCH.books(
                _today("08:40"),
                "film",
                _STUDIO.line(at(_MARCH_11, "09:00"), 1, number=1),
                _STUDIO.line(at(_MARCH_12, "09:00"), 1, number=2),
                _STUDIO.line(at(_MARCH_13, "09:00"), 1, number=3),
            ),
        ),
    ),
    Step(
        _today("08:45"),
        "Cedar books this morning and this afternoon",
        Effects(entries=2, decided=("covered", "covered")),
        (
            _CEDAR.books(_today("08:45"), "board", _BOARD.line(_today("09:00"), 1)),
            _CEDAR.books(_today("08:45"), "tea", _OAK.line(_today("15:00"), 2)),
        ),
    ),
)

_CANCELLING: Final = (
    Step(_today("09:00"), "Cedar's meeting starts, and what was held is drawn", Effects(entries=1)),
    Step(
        _today("09:05"),
        "Cedar cancels it after it has begun: nothing comes back",
        Effects(decided=("covered",)),
        (_CEDAR.calls_off(_today("09:05"), "board"),),
    ),
    Step(
        _today("09:10"),
        "Cedar cancels this afternoon before it begins: the credits come back",
        Effects(entries=1, decided=("cancelled",)),
        (_CEDAR.calls_off(_today("09:10"), "tea"),),
    ),
    Step(
        _today("09:15"),
        "The same event comes a second time: it counts once",
        Effects(),
        (_CEDAR.calls_off(_today("09:10"), "tea"),),
    ),
)

_OWING: Final = (
    Step(
        _today("09:20"),
        "Elm books without any credits",
        Effects(decided=("uncovered",)),
        (_ELM.books(_today("09:20"), "pitch", _PINE.line(_today("09:45"), 1)),),
    ),
    Step(_today("09:45"), "Elm's meeting starts, so Elm owes cash", Effects(owed_minor=2500)),
    Step(
        _today("10:15"),
        "Elm's renewal for March arrives at last: it pays, and the overage is reversed",
        Effects(entries=2, owed_minor=-2500, decided=("covered",)),
        (_ELM.renews(_today("10:15"), _MARCH, coin="100"),),
    ),
    Step(
        _today("10:30"),
        "Dogwood checks in to a booking that no one has heard of",
        Effects(),
        (_DOGWOOD.checks_in(_today("10:20"), "chat"),),
    ),
    Step(
        _today("10:35"),
        "The booking follows: it has begun, and is fifteen coins short",
        Effects(entries=1, owed_minor=1500, decided=("partly",)),
        (_DOGWOOD.books(_today("10:10"), "chat", _OAK.line(_today("11:00"), 2)),),
    ),
    Step(
        _today("10:40"),
        "Dogwood cancels another such booking",
        Effects(decided=("cancelled",)),
        (_DOGWOOD.calls_off(_today("10:25"), "lunch"),),
    ),
    Step(
        _today("10:45"),
        "That booking follows, and stays cancelled",
        Effects(decided=("cancelled",)),
        (_DOGWOOD.books(_today("10:00"), "lunch", _PINE.line(_today("13:00"), 1)),),
    ),
    Step(
        _today("10:50"),
        "Cedar sends one booking with its revision as text, and one as it should be",
        Effects(entries=1, decided=("covered",), refused=("schema",)),
        (
            _mistype(_CEDAR.books(_today("10:50"), "typo", _OAK.line(_today("17:00"), 1))),
            _CEDAR.books(_today("10:50"), "review", _OAK.line(_today("16:00"), 1)),
        ),
    ),
)

_ENDING: Final = (
    Step(_today("11:30"), "Birch's meeting in the atrium is over", Effects(entries=1)),
    Step(_today("16:00"), "Cedar's review starts", Effects(entries=1)),
    Step(at(_MARCH_13, "18:00"), "Birch's three days in the studio are over", Effects(entries=2)),
    Step(
        at(_APRIL, "00:00"),
        "The month ends: what is left expires, and Birch owes for the studio",
        Effects(entries=2, owed_minor=7500),
    ),
    Step(
        at(_APRIL, "08:00"),
        "The plans renew for April",
        Effects(entries=4),
        (
            _ACORN.renews(at(_APRIL, "08:00"), _APRIL, minute="90", coin="200"),
            _BIRCH.renews(at(_APRIL, "08:00"), _APRIL, credit="10"),
            _ELM.renews(at(_APRIL, "08:00"), _APRIL, coin="100"),
        ),
    ),
)

DAY: Final = (*_ARRIVING, *_BOOKING, *_CANCELLING, *_OWING, *_ENDING)
