"""Guesses whether the first row of a table is its header, where the document does not mark it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fastapi_ignite.rag.extraction.conventions.header_rows import has_header

_NAME_AND_VALUE: Final = 2
_CURRENCY: Final = re.compile(r"\s*[€$£¥]\s*")


def first_row_names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first row names the columns.

    Two columns of text are more often a name and its value in each row, so that numbers below must bear it out there.
    """
    if not rows or max(map(len, rows)) > _NAME_AND_VALUE:
        return bool(rows) and has_header(rows)
    return has_header([[_CURRENCY.sub("", cell) for cell in row] for row in rows], certain=True)
