"""Policies on record: a ledger goes on by the rules by which it was computed.

The coverage on record was computed by the policies of its time. Other rules for the same name
would make the record contradict its own facts, so the service does not start with them. New
policies and units are welcome, for nothing on record names them; but for units of money, which
every line costs that states a price alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import date
from typing import TYPE_CHECKING

from booking_credits.ledger.policies import Policy, Unit
from booking_credits.postgres.policy_rules import record_rules, recorded_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.pool import Connection


class PoliciesDiffer(Exception):
    """The policies are not those by which this ledger was computed."""


async def keep_policies(connection: Connection, book: PolicyBook) -> None:
    """Put new rules on record.

    Raises:
        PoliciesDiffer: a rule on record is missing or reads otherwise.
    """
    faults = await differences(connection, book)
    if faults:
        raise PoliciesDiffer("\n".join(faults))
    rules, known = rules_of(book), await recorded_rules(connection)
    await record_rules(connection, {n: rule for n, rule in rules.items() if n not in known})


async def differences(connection: Connection, book: PolicyBook) -> list[str]:
    """Say in what a book differs from the rules on record."""
    return list(_faults(rules_of(book), await recorded_rules(connection)))


def rules_of(book: PolicyBook) -> dict[str, str]:
    """Return every rule of a book as canonical JSON, by name."""
    rules: dict[str, object] = {"default": asdict(book.default)}
    rules.update((f"unit {name}", _rule_of(unit)) for name, unit in book.units.items())
    rules.update((f"location {name}", policy) for name, policy in book.locations.items())
    for name, versions in book.policies.items():
        rules[f"policy {name}"] = [_rule_of(version) for version in versions]
    return {
        name: json.dumps(rule, sort_keys=True, default=_plain)
        for name, rule in sorted(rules.items())
    }


def _rule_of(rule: Policy | Unit) -> dict[str, object]:
    """Leave out what is usual, which rules on record from before there was a choice are as well."""
    usual = {field.name: field.default for field in fields(rule)}
    return {name: value for name, value in asdict(rule).items() if value != usual[name]}


def _faults(rules: Mapping[str, str], known: Mapping[str, str]) -> Iterator[str]:
    for name, rule in known.items():
        if name not in rules:
            yield f"{name}: is on record and missing here"
        elif rules[name] != rule:
            yield f"{name}: differs from the one on record"
    if known:
        for name, rule in rules.items():
            if name not in known and not _is_welcome(name, rule):
                yield f"{name}: is new, and lines on record were covered without it"


def _is_welcome(name: str, rule: str) -> bool:
    if name.startswith("unit "):
        return bool(json.loads(rule)["kind"] != "money")
    return name.startswith("policy ")


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)
