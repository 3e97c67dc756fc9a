"""Screen: tells what is sent and what comes of it, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from rich.table import Table
from rich.text import Text

from booking_credits_contracts import (
    BalanceChanged,
    CoverageDecided,
    CreditsExpiring,
    OverageDetected,
    PeriodClosed,
    RequestRejected,
)
from booking_credits_contracts.published import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from rich.console import Console

    from booking_credits.demo.day import Step
    from booking_credits.demo.tally import Tally
    from booking_credits.postgres.counts import Counts
    from booking_credits_contracts import PublishedData

_BUCKETS: Final[tuple[str, ...]] = get_args(Bucket)
_COLUMNS: Final = ("granted", "available", "held", "drawn", "expired")


class Screen:
    """Shows the day on a console."""

    def __init__(self, console: Console) -> None:
        """Write to a console."""
        self._console = console

    def say(self, text: str, style: str = "") -> None:
        """Write a line, which a terminal may wrap but nothing else does."""
        self._console.print(Text(text, style), soft_wrap=True)

    def show_step(self, step: Step) -> None:
        """Write when it is, what happens and what is sent for it."""
        self._console.print()
        self.say(f"{step.at:%a %d %b %H:%M}  {step.title}", "bold")
        for event in step.events:
            self.say(f"  sent      {event.type} {event.subject}", "cyan")
        if not step.events:
            self.say("  sent      nothing: time passes", "cyan")

    def show_effects(
        self, published: Sequence[PublishedData], refused: Iterable[tuple[str, str]]
    ) -> None:
        """Write what subscribers were told, and what was refused and why."""
        for event in published:
            self._show_event(event)
        for reason, detail in refused:
            self.say(f"  refused   {reason}: {detail}", "red")
        if not published and not refused:
            self.say("  nothing moves", "dim")

    def show_summary(self, tally: Tally) -> None:
        """Write where every account's credits are and what it owes."""
        table = Table(title="What subscribers know now", title_justify="left", title_style="bold")
        table.add_column("account")
        table.add_column("unit")
        for name in (*_COLUMNS, "overage"):
            table.add_column(name, justify="right")
        for row in _rows(tally):
            table.add_row(*row)
        self._console.print()
        self._console.print(table)

    def show_progress(self, stage: str, done: int, total: int) -> None:
        """Write that a stage of the verification is done."""
        if done == total:
            self.say(f"verified  {stage}: {total}", "dim")

    def show_result(self, counts: Counts, violations: int) -> None:
        """Write the last line of the day."""
        self.say(
            f"demo: {counts.events} events in, {counts.entries} entries,"
            f" {counts.overages} overages, {violations} violations"
        )

    def show_invitation(self, now: datetime) -> None:
        """Write how to send an event, while the service goes on."""
        self._console.print()
        self.say(
            f"It is {now:%d %B, %H:%M} here, and the service goes on until Ctrl-C."
            " From another terminal, book a room for Acorn and see what it costs:"
        )
        self.say("  make send FILE=contracts/examples/send/booking-created.json", "bold")

    def _show_event(self, event: PublishedData) -> None:
        match event:
            case BalanceChanged():
                self._show_balance(event)
            case OverageDetected():
                self._show_overage(event)
            case CoverageDecided():
                self._show_decision(event)
            case RequestRejected():
                self._show_rejection(event)
            case CreditsExpiring():
                self._show_notice(event)
            case PeriodClosed():
                self._show_statement(event)

    def _show_balance(self, event: BalanceChanged) -> None:
        for entry in event.entries:
            line = f" for {entry.booking_id}/{entry.line}" if entry.booking_id else ""
            self.say(
                f"  entry {entry.entry:<3} {entry.quantity} {event.unit}:"
                f" {entry.from_bucket} → {entry.to_bucket}{line} ({entry.grant_id})"
            )
        before, after = event.before.model_dump(), event.after.model_dump()
        changed = (
            f"{bucket} {before[bucket]} → {after[bucket]}"
            for bucket in _BUCKETS
            if before[bucket] != after[bucket]
        )
        self.say(f"  balance   {event.account_id} {event.unit}: {', '.join(changed)}", "green")

    def _show_overage(self, event: OverageDetected) -> None:
        reasons = ", ".join(refusal.reason for refusal in event.reasons)
        self.say(
            f"  overage   {event.account_id} owes {_money(event.total_minor, event.currency)}"
            f" for {event.booking_id}/{event.line} by {event.channel}: {event.status}"
            f"{f' ({reasons})' if reasons else ''}",
            "magenta",
        )

    def _show_decision(self, event: CoverageDecided) -> None:
        cash = [line.cash for line in event.lines if line.cash and line.cash.amount_minor]
        left = " and ".join(_money(part.amount_minor, part.currency) for part in cash)
        self.say(
            f"  coverage  {event.booking_id}, revision {event.revision}: {event.status}"
            f"{f', leaving {left} to pay' if left else ''}",
            "yellow" if left else "green",
        )

    def _show_rejection(self, event: RequestRejected) -> None:
        bookings = ", ".join(f"{line.booking_id}/{line.line}" for line in event.in_the_way)
        self.say(
            f"  rejected  {event.request} of {event.grant_id}: {event.reason} by {bookings}", "red"
        )

    def _show_notice(self, event: CreditsExpiring) -> None:
        self.say(
            f"  notice    {event.quantity} {event.unit} of {event.grant_id}"
            f" expire on {event.expires_at:%d %B, %H:%M}",
            "yellow",
        )

    def _show_statement(self, event: PeriodClosed) -> None:
        period = event.billing_period
        for stated in event.units:
            self.say(
                f"  closed    {event.account_id} from {period.start} to {period.end}:"
                f" {stated.opening} → {stated.closing} {stated.unit}",
                "cyan",
            )


def _rows(tally: Tally) -> Iterator[tuple[str, ...]]:
    """List an account's units, with what it owes beside the first."""
    owed: dict[str, list[str]] = {}
    for (account_id, currency), minor in sorted(tally.owed_minor.items()):
        owed.setdefault(account_id, []).append(_money(minor, currency))
    for (account_id, unit), balance in sorted(tally.balances.items()):
        quantities = balance.model_dump(mode="json")
        overage = ", ".join(owed.pop(account_id, ()))
        yield account_id, unit, *(str(quantities[name]) for name in _COLUMNS), overage


def _money(minor: int | None, currency: str | None) -> str:
    """Write an amount of a currency that has cents, as all of the day's have."""
    if minor is None:
        return "an amount without a price"
    return f"{minor // 100}.{minor % 100:02d} {currency}"
