"""The one error that reading an event raises."""

from collections.abc import Collection
from typing import Final, Literal

from pydantic import ValidationError

Reason = Literal[
    "empty_value",
    "too_large",
    "unsupported_content_type",
    "not_utf8",
    "not_json",
    "missing_attribute",
    "invalid_attribute",
    "unknown_type",
    "schema",
]

BrokenPart = Literal["attributes", "data"]

PROBLEMS_NAMED_LIMIT: Final = 10


class ContractError(Exception):
    """A message breaks the contract.

    `reason` is a stable code. `detail` names fields and kinds of error and never holds any part
    of the message, so both are safe in logs, metrics and dead-letter tables.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def explain(
    error: ValidationError, broken: BrokenPart, field_names: Collection[str]
) -> ContractError:
    """Return what the error means, with names that are not in `field_names` written as `*`."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    kinds = {problem["type"] for problem in problems}
    described = [
        f"{_describe_path(problem['loc'], field_names)}: {problem['type']}"
        for problem in problems[:PROBLEMS_NAMED_LIMIT]
    ]
    if len(problems) > PROBLEMS_NAMED_LIMIT:
        described.append(f"and {len(problems) - PROBLEMS_NAMED_LIMIT} more")
    return ContractError(_choose_reason(kinds, broken), "; ".join(described))


def _choose_reason(kinds: Collection[str], broken: BrokenPart) -> Reason:
    if "json_invalid" in kinds:
        return "not_json"
    if broken == "data":
        return "schema"
    return "missing_attribute" if "missing" in kinds else "invalid_attribute"


def _describe_path(location: tuple[int | str, ...], field_names: Collection[str]) -> str:
    # A location also holds keys of the message's own objects, which are content.
    parts = (
        str(part) if isinstance(part, int) or part in field_names else "*" for part in location
    )
    return ".".join(parts) or "value"
