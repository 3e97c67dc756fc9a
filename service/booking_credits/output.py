"""Output: what a command says, as a person reads it or as another program does."""

from __future__ import annotations

import csv
import io
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic_core import to_json, to_jsonable_python
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

Json: TypeAlias = dict[str, Any]

WIDE: Final = 160
_ENDLESS: Final = 100_000


class Output(StrEnum):
    """How data is written to standard output."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


def json_text(value: object, *, indent: int | None = 2) -> str:
    """Write a value as JSON, instants and ids as on the wire, with a line's end."""
    return to_json(value, indent=indent).decode() + "\n"


def json_lines(rows: Iterable[Json]) -> str:
    """Write rows as JSON, one a line."""
    return "".join(json_text(row, indent=None) for row in rows)


def csv_text(columns: Sequence[str], rows: Iterable[Json]) -> str:
    """Write rows under a line of their columns; what is no plain value stands as JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def screen_text(*shown: RenderableType) -> str:
    """Render for a screen as wide as the content, so that another program may cut it up."""
    console = Console(file=io.StringIO(), width=max(WIDE, *map(width_of, shown)), highlight=False)
    with console.capture() as captured:
        for each in shown:
            console.print(each)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def width_of(shown: RenderableType) -> int:
    """Return how wide something is that nothing cuts off."""
    return Console(file=io.StringIO(), width=_ENDLESS).measure(shown).maximum


def _cell(value: Any) -> Any:
    plain = to_jsonable_python(value)
    return to_json(plain).decode() if isinstance(plain, dict | list) else plain
