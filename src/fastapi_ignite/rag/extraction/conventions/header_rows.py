"""Tells whether the first row of a table names its columns, where the document does not mark it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_ROWS_LOOKED_AT: Final = 50
_LONGEST_NAME: Final = 80
# a number, an amount, a date or a time; an address; a word that is a value
_VALUE: Final = re.compile(
    r"""[^\w\s]{0,3}[ ]?[0-9][0-9\s.,:/'\u2019_-]*(?:%|[^\W\d_]{1,3})?\)?
        | [^@\s]+@[^@\s]+\.[^@\s]+ | https?://\S+ | true | false | yes | no | null | n/a | -""",
    re.VERBOSE | re.IGNORECASE,
)
# letters and digits
_CODE: Final = re.compile(r"(?=.*[0-9]).*[^\W\d_]")
_DIGITS: Final = re.compile("[0-9]+")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_YEAR: Final = re.compile(r"(?:19|20)[0-9]{2}")
_NAME_AND_VALUE: Final = 2
_CURRENCY: Final = re.compile(r"\s*[€$£¥]\s*")


def has_header(rows: Sequence[Sequence[str]], *, certain: bool = False) -> bool:
    """Tell whether the first of `rows` names the columns: short texts, most of them different, none of
    which is a value or like the values below it.

    With `certain`, the rows must say so themselves: some column has values in every row but the first.
    """
    names = [name.strip() for name in rows[0]]
    below = rows[1 : 1 + _ROWS_LOOKED_AT]
    named = [name.lower() for name in names if name]
    if not below or len(named) * 2 < len(names) or len(set(named)) * 4 < len(named) * 3:
        return False
    if not named or any(len(name) > _LONGEST_NAME for name in names):
        return False
    # years are names of columns too, but not of the first one
    if any(_is_value(name) and not (column and _YEAR.fullmatch(name)) for column, name in enumerate(names)):
        return False
    if any(_is_one_of_values(names, below, column) for column in range(len(names))):
        return False
    return not certain or any(
        all(column < len(row) and _is_value(row[column]) for row in below) for column in range(len(names))
    )


def first_row_names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first row of a table in a text names the columns.

    Two columns of text are more often a name and its value in each row, so that numbers below must bear it out there.
    """
    if not rows or max(map(len, rows)) > _NAME_AND_VALUE:
        return bool(rows) and has_header(rows)
    return has_header([[_CURRENCY.sub("", cell) for cell in row] for row in rows], certain=True)


def _is_one_of_values(names: Sequence[str], below: Sequence[Sequence[str]], column: int) -> bool:
    """Tell whether a name stands again below itself, or is a code like all that stand there: `NR-1042` over `NR-1077`.

    A header that is repeated below, as a whole, is one.
    """
    name = names[column]
    rows = [row for row in below if column < len(row) and [cell.strip() for cell in row] != list(names)]
    if not name or not rows:
        return False
    if any(row[column].strip() == name for row in rows):
        return True
    return _CODE.search(name) is not None and all(_shape(row[column].strip()) == _shape(name) for row in rows)


def _shape(code: str) -> str:
    return _DIGITS.sub("0", _LETTERS.sub("a", code))


def _is_value(cell: str) -> bool:
    cell = cell.strip()
    return len(cell) <= _LONGEST_NAME and _VALUE.fullmatch(cell) is not None
