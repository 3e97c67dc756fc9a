"""The policy file: the rules of every location, in TOML, as a person writes them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from booking_credits.ledger.currencies import minor_decimals
from booking_credits.ledger.facts import Channel, Cycle, Fallback
from booking_credits.ledger.policies import (
    DefaultTerms,
    DrawOn,
    GrantOrder,
    Policy,
    PolicyBook,
    Unit,
    UnitKind,
)
from booking_credits_contracts.quantities import Currency, Quantity

Place: TypeAlias = tuple[str | int, ...]

# As many as the contracts let a line name: one without costs has a cost in every unit of money.
_COSTS_LIMIT: Final = 8
_LINE_IN_MESSAGE = re.compile(r" \(at line (\d+), column \d+\)$")


class PolicyFileError(Exception):
    """The file cannot be used; the message names the file, the line and the reason."""


def _require_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise PydanticCustomError("unknown_zone", "not an IANA time zone")
    return zone


def _normalise(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


_Instant = Annotated[AwareDatetime, AfterValidator(_normalise)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Default(_Table):
    policy: str
    zone: Annotated[str, AfterValidator(_require_zone)]
    cycle: Cycle
    anchor_date: date


class _Unit(_Table):
    kind: UnitKind
    scale: Annotated[int, Field(ge=0, le=6)]
    worth: dict[Currency, Quantity] = {}


class _Version(_Table):
    from_at: _Instant | None = Field(default=None, alias="from")
    draw_on: DrawOn
    unit_order: Annotated[tuple[UnitKind, ...], Field(strict=False)] = ("time", "count", "money")
    grant_order: GrantOrder = "expiry_first"
    overage_due: Literal["start", "cycle_end"]
    channel: Channel
    one_time_months: Annotated[int, Field(ge=1, le=1200)] | None = None
    excluded_product_groups: Annotated[frozenset[str], Field(strict=False)] = frozenset()
    discounts_combine: bool = True
    expiry_notice_days: Annotated[int, Field(ge=1, le=366)] | None = None
    close_grace_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 72
    shortfall: Fallback | None = None
    issue: Literal["cycle", "month"] = "cycle"
    removal_in_use: Literal["keep", "refuse"] = "keep"


class _File(_Table):
    default: _Default
    units: Annotated[dict[str, _Unit], Field(min_length=1)]
    policies: dict[str, Annotated[list[_Version], Field(min_length=1)]]
    locations: dict[str, str] = {}


def load_policies(path: Path | None = None) -> PolicyBook:
    """Read a policy file; without a path, the one that is shipped.

    Raises:
        PolicyFileError: the file cannot be read or contradicts itself.
    """
    source = resources.files(__package__).joinpath("policies.toml") if path is None else path
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFileError(f"{path}: {error}") from None
    return read_policies(text, source.name)


def read_policies(text: str, file_name: str) -> PolicyBook:
    """Read the text of a policy file; `file_name` is for the messages.

    Raises:
        PolicyFileError: the text cannot be read or contradicts itself.
    """
    try:
        file = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        at = _LINE_IN_MESSAGE.search(str(error))
        line = at[1] if at else len(text.splitlines())
        reason = _LINE_IN_MESSAGE.sub("", str(error))
        raise PolicyFileError(f"{file_name}:{line}: {reason}") from None
    except ValidationError as error:
        problems = [(_real_place(p["loc"]), p["msg"]) for p in error.errors(include_url=False)]
    else:
        problems = list(_contradictions(file))
    if problems:
        lines = _lines_by_place(text)
        raise PolicyFileError("\n".join(_explain(file_name, lines, *p) for p in problems))
    return _book(file)


def _book(file: _File) -> PolicyBook:
    return PolicyBook(
        {
            name: Unit(name, unit.kind, unit.scale, _worth(unit))
            for name, unit in file.units.items()
        },
        {name: _versions(name, versions) for name, versions in file.policies.items()},
        file.locations,
        DefaultTerms(**file.default.model_dump()),
    )


def _worth(unit: _Unit) -> tuple[tuple[str, int], ...]:
    """Leave out a worth of 1, which holds without being said."""
    return tuple(
        (currency, int(_minor(worth, currency)))
        for currency, worth in sorted(unit.worth.items())
        if Decimal(worth) != 1
    )


def _minor(amount: str, currency: str) -> Decimal:
    return Decimal(amount).scaleb(minor_decimals(currency))


def _versions(name: str, versions: list[_Version]) -> tuple[Policy, ...]:
    policies = [Policy(name=name, **version.model_dump()) for version in versions]
    return tuple(sorted(policies, key=_starts_at))


def _starts_at(version: Policy | _Version) -> datetime:
    return version.from_at or datetime.min.replace(tzinfo=UTC)


def _contradictions(file: _File) -> Iterator[tuple[Place, str]]:
    """Find what the tables say against one another."""
    yield from _faults_of_units(file.units)
    kinds = {unit.kind for unit in file.units.values()}
    for name, versions in file.policies.items():
        starts = [_starts_at(version) for version in versions]
        for index, version in enumerate(versions):
            version_place = ("policies", name, index)
            if starts[index] in starts[:index]:
                yield (*version_place, "from"), "another version begins at the same time"
            for reason in _faults_of_order(version.unit_order, kinds):
                yield (*version_place, "unit_order"), f"unit_order {reason}"
    named: dict[Place, str] = {("default", "policy"): file.default.policy}
    named |= {("locations", location): name for location, name in file.locations.items()}
    for place, name in named.items():
        if name not in file.policies:
            yield place, f'there is no policy "{name}"'


def _faults_of_units(units: Mapping[str, _Unit]) -> Iterator[tuple[Place, str]]:
    for name, unit in units.items():
        for currency, reason in _faults_of_worth(unit):
            yield ("units", name, "worth", currency), reason
    if [unit.kind for unit in units.values()].count("money") > _COSTS_LIMIT:
        yield ("units",), f"a line costs at most {_COSTS_LIMIT} units of money"


def _faults_of_worth(unit: _Unit) -> Iterator[tuple[str, str]]:
    for currency, worth in unit.worth.items():
        minor = _minor(worth, currency)
        if unit.kind != "money":
            yield currency, f'only the kind "money" has a worth, not "{unit.kind}"'
        elif not minor:
            yield currency, "a worth is greater than zero"
        elif minor % 1:
            yield currency, f"an amount of {currency} has {minor_decimals(currency)} decimals"


def _faults_of_order(unit_order: tuple[UnitKind, ...], kinds: set[UnitKind]) -> Iterator[str]:
    for kind in sorted(kinds.difference(unit_order)):
        yield f'names no kind "{kind}"'
    for kind in sorted({kind for kind in unit_order if unit_order.count(kind) > 1}):
        yield f'names the kind "{kind}" twice'


def _real_place(location: Place) -> Place:
    """Leave out what the parser adds to the keys of the file."""
    return tuple(part for part in location if part != "[key]")


def _explain(file_name: str, lines: Mapping[Place, int], place: Place, reason: str) -> str:
    """Say where a place is, or else the table that it is in."""
    prefixes = (place[:length] for length in range(len(place), 0, -1))
    line = next((lines[prefix] for prefix in prefixes if prefix in lines), 1)
    reason = reason[0].lower() + reason[1:]
    match place:
        case ("policies", name, _, field, *_) if str(field) not in reason:
            return f'{file_name}:{line}: policy "{name}": {field}: {reason}'
        case ("policies", name, *_):
            return f'{file_name}:{line}: policy "{name}": {reason}'
        case _:
            return f"{file_name}:{line}: {'.'.join(map(str, place))}: {reason}"


def _lines_by_place(text: str) -> dict[Place, int]:
    """Find the line of every table and key that stands at the beginning of a line.

    A table of an array is known by its number in the array, as in the parsed file.
    """
    lines: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        written = line.strip()
        if written.startswith("["):
            table = _place(written)
            if written.startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif "=" in written:
            lines.setdefault((*table, *_place(f"{written.partition('=')[0]}=0")), number)
    return lines


def _place(toml: str) -> Place:
    """Read the one key that a line of TOML names; a line within a longer value names none."""
    try:
        value: Any = tomllib.loads(toml)
    except tomllib.TOMLDecodeError:
        return ()
    place: Place = ()
    while isinstance(value, dict) and value:
        [(key, value)] = value.items()
        place = (*place, key)
    return place
