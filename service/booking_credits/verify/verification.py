"""Verification: what is on record keeps the rules, and follows from the facts on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_credits.policy_record import differences
from booking_credits.postgres import audit
from booking_credits.postgres.audit import Violation
from booking_credits.postgres.pool import open_pool
from booking_credits.verify.rebuild import Rebuild

if TYPE_CHECKING:
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.verify.progress import Progress

MOST_VIOLATIONS = 20


async def verify(
    dsn: str, book: PolicyBook, progress: Progress, *, sample: int | None = None
) -> list[Violation]:
    """Return what is wrong with a ledger, at most `MOST_VIOLATIONS` of each kind.

    Every rule is checked of all accounts; with a `sample` only so many, chosen by chance, are
    rebuilt from their facts.

    The ledger is read as of one instant and may be posted to meanwhile. The user of the DSN reads
    it and makes a schema beside it, which is gone in the end.
    """
    pool = await open_pool(
        dsn,
        application_name="booking-credits verify",
        max_size=1,
        role=None,
        command_timeout_seconds=None,
    )
    try:
        async with pool.acquire() as connection, audit.frozen_in_time(connection):
            differing = await differences(connection, book)
            violations = [Violation("policies", None, difference) for difference in differing]
            for done, rule in enumerate(audit.RULES, 1):
                violations += await audit.find_violations(connection, rule, MOST_VIOLATIONS)
                progress("rules", done, len(audit.RULES))
            accounts = None if sample is None else await audit.choose_accounts(connection, sample)
            rebuild = Rebuild(pool, connection, book, accounts)
            return violations + await rebuild.run(progress, MOST_VIOLATIONS)
    finally:
        await pool.close()
