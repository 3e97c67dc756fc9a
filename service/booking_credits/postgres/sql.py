"""Named queries from .sql files: a line `-- name: lock_accounts`, a comment, then SQL."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(file_name: str) -> Mapping[str, str]:
    """Read the queries of one file by name."""
    text = resources.files(__package__).joinpath("queries", file_name).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))
