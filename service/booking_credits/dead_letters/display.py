"""Display: letters as a person reads them, or as another program does."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from booking_credits.output import Json, Output, csv_text, json_lines, json_text, screen_text
from booking_credits.postgres.letters import Letter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from booking_credits.postgres.letters import Done, HeldRecord

_COLUMNS = ("id", *(f.name for f in fields(Letter) if f.name != "dead_letter_id"))


def letters_text(letters: Sequence[Letter], output: Output) -> str:
    """Write letters, one a line except as one JSON array."""
    rows = [letter_json(letter) for letter in letters]
    match output:
        case Output.json:
            return json_text(rows)
        case Output.jsonl:
            return json_lines(rows)
        case Output.csv:
            return csv_text(_COLUMNS, rows)
        case Output.table:
            return _letters_table(letters)


def letter_json(letter: Letter) -> Json:
    """Turn a letter into JSON's types; `id` is what the other commands take."""
    row = {name: _plain(value) for name, value in asdict(letter).items()}
    return {"id": row.pop("dead_letter_id"), **row}


def letter_text(letter: Letter, record: HeldRecord, done: Iterable[Done], output: Output) -> str:
    """Write one letter with what it holds and what was done about it."""
    whole = letter_json(letter) | {
        "key": _bytes(record.key),
        "headers": [{"name": name, **_bytes(value)} for name, value in record.headers],
        "value": _bytes(record.value),
        "actions": [{n: _plain(v) for n, v in asdict(each).items()} for each in done],
    }
    if output is not Output.table:
        return json_text(whole, indent=2 if output is Output.json else None)
    table = Table("field", "", show_header=False, box=None)
    for name, value in whole.items():
        for label, text in _lines(name, value):
            # What came from outside is shown as it is, never read as markup.
            table.add_row(Text(label), Text(text))
    return screen_text(table)


def _lines(name: str, value: Any) -> list[tuple[str, str]]:
    match name:
        case "key" | "value":
            return [(name, _shown(value))]
        case "headers":
            return [(f"header {header['name']}", _shown(header)) for header in value]
        case "actions":
            return [
                (done["action"], f"{done['acted_at']} by {done['actor']}: {done['reason']}")
                for done in value
            ]
        case _:
            return [(name, "-" if value is None else str(value))]


def _letters_table(letters: Iterable[Letter]) -> str:
    columns = ("id", "received", "reason", "type", "account", "from", "attempts", "state")
    table = Table(*columns, box=None, pad_edge=False)
    for letter in letters:
        place = f"{letter.topic}/{letter.partition}/{letter.record_offset}"
        cells = (
            letter.dead_letter_id,
            letter.received_at.isoformat(timespec="seconds"),
            letter.reason,
            letter.type or "-",
            letter.account_id or "-",
            place,
            letter.attempts,
            letter.state,
        )
        table.add_row(*(Text(str(cell)) for cell in cells))
    return screen_text(table)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | str) else str(value)


def _bytes(value: bytes | None) -> Json:
    """Show bytes as text, where they are one, and always exactly."""
    if value is None:
        return {"text": None, "base64": None}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = None
    return {"text": text, "base64": b64encode(value).decode()}


def _shown(value: Json) -> str:
    if value["base64"] is None:
        return "(null)"
    text = value["text"]
    # Control characters could draw over what stands on the screen.
    if text is not None and all(c.isprintable() or c in "\n\t" for c in text):
        return str(text)
    return f"base64: {value['base64']}"
