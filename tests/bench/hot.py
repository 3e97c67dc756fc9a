"""Hot: one account alone, so that nothing can be done beside anything else."""

from typing import Final

from bench.mix import MIX_STARTS, Event, account_ids, make_single, policy_of

_ACCOUNT: Final = 0


def make_hot(count: int) -> list[Event]:
    """Make the events of the hottest account of the mix, as if all were its own."""
    return make_single(account_ids(1)[_ACCOUNT], policy_of(_ACCOUNT), count, MIX_STARTS)
