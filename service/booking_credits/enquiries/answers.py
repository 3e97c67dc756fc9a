"""Answers: what an enquiry found, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_jsonable_python
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from booking_credits.enquiries.wording import instant_text, money_text
from booking_credits.output import (
    WIDE,
    Json,
    Output,
    csv_text,
    json_lines,
    json_text,
    screen_text,
    width_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from booking_credits.enquiries.explanation import Node

    Rows: TypeAlias = "Sequence[Json]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found: something about the whole, and rows under names, the main ones first.

    Quantities are decimals as text, instants datetimes. Every row of a name has the same fields;
    `columns` are those of the main rows, and `shown` those that a table has room for.
    """

    about: Json
    rows: Mapping[str, Rows]
    zone: str = "UTC"
    columns: Sequence[str] = ()
    shown: Sequence[str] = ()

    def text(self, output: Output) -> str:
        """Write the answer; CSV and JSON lines are the main rows alone."""
        through = {"complete_through": self.about["complete_through"]}
        stamped = [row | through for row in self._main]
        match output:
            case Output.json:
                return json_text(self.about | dict(self.rows))
            case Output.jsonl:
                return json_lines(stamped)
            case Output.csv:
                return csv_text((*self.columns, "complete_through"), stamped)
            case Output.table:
                return self._screen()

    def _screen(self) -> str:
        lines = [
            Text(f"{_spaced(name)}: {_shown(value, self.zone)}")
            for name, value in self.about.items()
        ]
        tables = [
            _table(name, rows, self.shown if rows is self._main else (), self.zone)
            for name, rows in self.rows.items()
            if rows
        ]
        return screen_text(*lines, *tables)

    @property
    def _main(self) -> Rows:
        return next(iter(self.rows.values()))


@dataclass(frozen=True, slots=True)
class TreeAnswer:
    """An explanation, with something about the whole."""

    about: Json
    root: Node
    zone: str

    def text(self, output: Output) -> str:
        """Write the tree; as CSV and JSON lines a row for each node, with its depth."""
        match output:
            case Output.json:
                return json_text(self.about | {"explanation": self.root.json()})
            case Output.jsonl:
                return json_lines(self._rows())
            case Output.csv:
                return csv_text(("depth", "says", "data", "complete_through"), self._rows())
            case Output.table:
                through = _shown(self.about["complete_through"], self.zone)
                return screen_text(_tree(self.root), Text(f"complete through: {through}"))

    def _rows(self) -> list[Json]:
        through = self.about["complete_through"]
        return [
            {"depth": depth, "says": node.says, "data": node.data, "complete_through": through}
            for depth, node in _flat(self.root, 0)
        ]


def _flat(node: Node, depth: int) -> list[tuple[int, Node]]:
    below = [pair for child in node.because for pair in _flat(child, depth + 1)]
    return [(depth, node), *below]


def _tree(node: Node, into: Tree | None = None) -> Tree:
    # What came from outside is shown as it is, never read as markup.
    label = Text(node.says)
    tree = Tree(label) if into is None else into.add(label)
    for child in node.because:
        _tree(child, tree)
    return tree


def _table(title: str, rows: Rows, shown: Sequence[str], zone: str) -> Table:
    """Make a line of each row, or a block where the lines would be too wide to read."""
    names = [name for name in shown or rows[0] if any(_is_said(row[name]) for row in rows)]
    table = Table(*map(_spaced, names), title=_spaced(title), **_PLAIN)
    for row in rows:
        table.add_row(*(Text(_shown(row[name], zone)) for name in names))
    return table if width_of(table) <= WIDE else _blocks(title, rows, names, zone)


def _blocks(title: str, rows: Rows, names: Sequence[str], zone: str) -> Table:
    table = Table("", "", title=_spaced(title), show_header=False, **_PLAIN)
    for row in rows:
        for name in names:
            if _is_said(row[name]):
                table.add_row(Text(_spaced(name)), Text(_shown(row[name], zone)))
        table.add_row("", "")
    return table


def _is_said(value: Any) -> bool:
    return value not in (None, [], {}, ())


_PLAIN: Final[Mapping[str, Any]] = MappingProxyType(
    {"title_justify": "left", "box": None, "pad_edge": False}
)


# What has a shape of its own on the wire reads better in words.
_WRITTEN: Final[Mapping[frozenset[str], Callable[[Json], str]]] = MappingProxyType(
    {
        frozenset({"grant_id", "unit", "quantity"}): lambda take: (
            f"{take['quantity']} {take['unit']} of {take['grant_id']}"
        ),
        frozenset({"amount_minor", "currency"}): lambda money: money_text(**money),
        frozenset({"reason", "grants"}): lambda refusal: " ".join(
            (refusal["reason"], ", ".join(refusal["grants"]))
        ).strip(),
    }
)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any, zone: str) -> str:
    """Write a value for a person."""
    if isinstance(value, datetime):
        return instant_text(value, zone)
    if isinstance(value, dict):
        if (written := _WRITTEN.get(frozenset(value))) is not None:
            return written(value)
        return ", ".join(f"{name} {_shown(each, zone)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_shown(each, zone) for each in value)
    text = "-" if value is None else str(to_jsonable_python(value))
    # Control characters could draw over what stands on the screen.
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
