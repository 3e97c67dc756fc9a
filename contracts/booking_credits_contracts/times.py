"""Instants, local dates and time zones."""

from datetime import UTC, date, datetime
from typing import Annotated, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, GetPydanticSchema, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_END: Final = datetime(2200, 1, 1, tzinfo=UTC)
_INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
_DATE_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
# These two name no place: one is whatever this machine is set to, the other an unset clock.
_ZONES: Final = frozenset(available_timezones()) - {"localtime", "Factory"}


def _normalise(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def _require_known_zone(zone: str) -> str:
    if zone not in _ZONES:
        raise PydanticCustomError("unknown_zone", "not an IANA time zone")
    return zone


# The pattern comes first because the datetime parser alone would take numbers in quotes and a
# blank for the T. The bounds are compared before normalising, which would overflow in year 9999.
_INSTANT_SCHEMA: Final = core_schema.no_info_after_validator_function(
    _normalise,
    core_schema.json_or_python_schema(
        json_schema=core_schema.chain_schema(
            [
                core_schema.str_schema(pattern=_INSTANT_PATTERN),
                core_schema.datetime_schema(
                    strict=False, tz_constraint="aware", ge=_EARLIEST, lt=_END
                ),
            ]
        ),
        python_schema=core_schema.datetime_schema(
            strict=True, tz_constraint="aware", ge=_EARLIEST, lt=_END
        ),
    ),
)
_DATE_SCHEMA: Final = core_schema.json_or_python_schema(
    json_schema=core_schema.chain_schema(
        [
            core_schema.str_schema(pattern=_DATE_PATTERN),
            core_schema.date_schema(strict=False, ge=_EARLIEST.date(), lt=_END.date()),
        ]
    ),
    python_schema=core_schema.date_schema(strict=True, ge=_EARLIEST.date(), lt=_END.date()),
)

Instant = Annotated[
    datetime,
    GetPydanticSchema(lambda _source, _handler: _INSTANT_SCHEMA),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _INSTANT_PATTERN}),
]
"""RFC 3339 with a UTC offset, normalised to UTC, years 2000 to 2199; microseconds are kept."""

LocalDate = Annotated[
    date,
    GetPydanticSchema(lambda _source, _handler: _DATE_SCHEMA),
    WithJsonSchema({"type": "string", "format": "date", "pattern": _DATE_PATTERN}),
]
"""A calendar day `YYYY-MM-DD` where the account is, years 2000 to 2199."""

Zone = Annotated[str, Field(max_length=64), AfterValidator(_require_known_zone)]
"""The name of an IANA time zone, such as `Europe/Berlin`."""
