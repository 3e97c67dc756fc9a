"""One path: whatever happened, entries come from the difference of two coverages."""

import ast
import re
from pathlib import Path

import booking_credits

SERVICE = Path(booking_credits.__file__).parent
# Words of acts that a ledger of special cases would have functions for.
ACTS = re.compile(r"refund|cancel|(?<!re)move(?!nt)|reschedul|reallocat")


def test_entries_are_made_in_one_place() -> None:
    """`Entry(` stands once in the whole service; enquiries read those on record."""
    places = [
        path.name
        for path in SERVICE.rglob("*.py")
        if path.parent.name != "enquiries"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        if "Entry" == (node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
    ]
    assert ["entries.py"] == places


def test_no_act_has_code_of_its_own() -> None:
    """No function of the ledger is named after a refund, a cancellation or a move."""
    names = [
        node.name
        for path in (SERVICE / "ledger").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert len(names) > 50
    assert [] == [name for name in names if ACTS.search(name.lower())]
