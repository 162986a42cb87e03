"""Types for text fields of requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints


def no_nul(value: str) -> str:
    """Refuse NUL characters, which PostgreSQL cannot store."""
    if "\x00" in value:
        raise ValueError("NUL characters are not allowed")
    return value


# The same checks as patterns, for clients that generate input from the OpenAPI document.
_NO_NUL = {"pattern": r"^[^\u0000]*$"}
NOT_BLANK = {"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}

Text = Annotated[str, AfterValidator(no_nul), Field(json_schema_extra=_NO_NUL)]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(no_nul),
    Field(json_schema_extra=NOT_BLANK),
]
