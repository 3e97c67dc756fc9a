"""Telemetry: what a library says over and over is said once in a while."""

import logging

from booking_credits.telemetry import Seldom


def said(seldom: Seldom, name: str, message: str, *arguments: object) -> str | None:
    """Return what comes of a message, None where it is held back."""
    record = logging.LogRecord(name, logging.ERROR, "", 0, message, arguments, None)
    return record.getMessage() if seldom.filter(record) else None


def test_the_same_message_is_held_back_whatever_it_is_about() -> None:
    """It is the same by its logger and its words before anything is put into them."""
    seldom = Seldom(seconds=60)
    assert "no node 1" == said(seldom, "aiokafka", "no node %s", 1)
    assert said(seldom, "aiokafka", "no node %s", 2) is None
    assert "no node 2" == said(seldom, "asyncio", "no node %s", 2)
    assert "no group" == said(seldom, "aiokafka", "no group")


def test_what_was_held_back_is_counted() -> None:
    """The next that is let through says how many were not."""
    seldom = Seldom(seconds=60)
    for _ in range(3):
        said(seldom, "aiokafka", "no node %s", 1)
    seldom._seconds = 0
    assert "no node 4 (and 2 like it)" == said(seldom, "aiokafka", "no node %s", 4)
    assert "no node 5" == said(seldom, "aiokafka", "no node %s", 5)


def test_what_is_remembered_is_bounded() -> None:
    """However many different things a library says."""
    seldom = Seldom(seconds=60)
    for number in range(5000):
        said(seldom, "asyncio", f"task {number} failed")
    assert len(seldom._said_at) <= 1000
