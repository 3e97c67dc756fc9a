"""Texts that name things or are read by people."""

from typing import Annotated

from pydantic import Field

# JSON text can carry NUL and other control characters that databases, logs and terminals cannot.
_CONTROL = r"\x00-\x1f\x7f-\x9f"

Id = Annotated[str, Field(max_length=128, pattern=rf"^[^\s{_CONTROL}]+$")]
"""1 to 128 characters without white space or control characters."""

LongId = Annotated[str, Field(max_length=512, pattern=rf"^[^\s{_CONTROL}]+$")]
"""An id that the service makes out of others: as an id, up to 512 characters."""

Source = Annotated[str, Field(max_length=256, pattern=rf"^[^\s{_CONTROL}]+$")]
"""The CloudEvents source: as an id, up to 256 characters."""

Text = Annotated[str, Field(max_length=512, pattern=rf"^[^{_CONTROL}]+$")]
"""1 to 512 characters of free text without control characters."""
