"""Effort: what a fact costs grows with what it changes, and no faster."""

import sys
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest

from booking_credits.ledger.facts import Fact, Rollover, Span
from booking_credits.ledger.settlement import settle
from builders import a_booking, a_line, a_record, a_renewal, an_allotment, at

FEW, MANY = 50, 400
COST = 1000


@pytest.mark.parametrize(
    "rollover", [None, Rollover(Span(1, "months"), 0)], ids=["ends", "rolls over"]
)
@pytest.mark.parametrize("act", ["reaches who is short", "displaces who takes"])
def test_a_renewal_costs_what_it_changes(act: str, rollover: Rollover | None) -> None:
    """Eight times the lines take about eight times the steps, not sixty-four times."""
    few, many = (_steps_to_renew(act, rollover, lines) for lines in (FEW, MANY))
    assert many < 10 * few


def _steps_to_renew(act: str, rollover: Rollover | None, lines: int) -> int:
    bookings = [_booking(number) for number in range(lines)]
    whole, little = (
        a_renewal(an_allotment(quantity, rollover=rollover), version=version)
        for version, quantity in ((1, lines * COST), (2, COST))
    )
    if act == "reaches who is short":
        record, fact = a_record(*bookings), whole
    else:
        record, fact = a_record(whole, *bookings), little
    outcome, steps = _counted(lambda: settle(record, fact))
    assert len(outcome.charges) >= lines - 1
    return steps


def _booking(number: int) -> Fact:
    booked = at("2026-02-02 08:00") + timedelta(seconds=number)
    starts = at("2026-03-02 10:00") + timedelta(hours=number)
    return a_booking(f"b{number:03}", a_line(starts=starts), occurred=booked)


def _counted(act: Callable[[], Any]) -> tuple[Any, int]:
    """Run something, and count the interpreter's instructions in it."""
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return act(), steps
    finally:
        sys.settrace(before)
