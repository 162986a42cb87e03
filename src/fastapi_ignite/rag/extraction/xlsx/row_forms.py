"""Reads runs of rows that are written alike, as those of a table are: one match of a regular expression is a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from fastapi_ignite.rag.extraction.xlsx.cell_values import CellKind
from fastapi_ignite.rag.extraction.xlsx.plain_markup import FORMULA, KindByAttributes, hides, without_entities
from fastapi_ignite.rag.extraction.xlsx.sheet_row import SheetRow, column_number

# A pattern is made in the time in which a hundred rows are read. A workbook whose rows are never alike gets few.
_FEWEST_ROWS: Final = 100
_MOST_FORMS: Final = 20
_LONGEST_ROW: Final = 10_000
_ROW_START: Final = re.compile(r'<row r="[0-9]{1,7}"[^<>]*(?<!/)>')
_ROW_END: Final = "</row>"
_VALUE: Final = "<v>([^<]+)</v></c>"
_INLINE_TEXT: Final = '<is><t(?: xml:space="preserve")?>([^<]+)</t></is></c>'
# its last two groups: a value, or a text
_CELL: Final = re.compile(
    rf'<c r="(?P<column>[A-Z]+)[0-9]+"(?P<attributes>[^<>]*)(?:/>|>(?P<formula>{FORMULA})(?:{_VALUE}|{_INLINE_TEXT}))'
)


@dataclass(frozen=True, slots=True)
class RowForm:
    """Describes rows that are alike: cells of these kinds in these columns, each of which may also be empty.

    The groups of `pattern` are the number of a row, its attributes, and the value of each cell, None for an empty one.
    """

    pattern: re.Pattern[str]
    columns: Sequence[int]
    kinds: Sequence[CellKind]

    def runs(self, xml: str) -> Iterator[tuple[str, list[SheetRow]]]:
        """Yield each run of rows of this form, and before it the text in front of it, which has other rows or none.

        The last run is empty if a text follows the rows. Rows may be without text.
        """
        parts = self.pattern.split(xml)
        step = self.pattern.groups + 1
        between, numbers, attributes, *values = (parts[place::step] for place in range(step))
        if "&" in xml:
            values = [[value and without_entities(value) for value in column] for column in values]
        texts = zip(*(kind.shown(column) for kind, column in zip(self.kinds, values, strict=True)), strict=True)
        hidden = {given: hides(given) for given in set(attributes)}
        rows = [
            SheetRow(int(number), hidden[given], self.columns, cells, self.kinds)
            for number, given, cells in zip(numbers, attributes, texts, strict=True)
        ]
        edges = [place for place, text in enumerate(between) if text or not place]
        for edge, next_edge in pairwise([*edges, len(rows)]):
            yield between[edge], rows[edge:next_edge]


class RowForms:
    """Finds the forms of the rows of one workbook."""

    def __init__(self, kinds: KindByAttributes) -> None:
        self._kinds = kinds
        self._form: RowForm | None = None
        self._left = _MOST_FORMS

    def form_in(self, xml: str) -> RowForm | None:
        """Return the form of the row in the middle of these rows; None if there are few, or the row is not plain.

        Raises:
            NotPlainError: only an XML parser reads the row right.
        """
        start = max(0, xml.rfind("<row ", 0, len(xml) // 2))
        row = xml[start : xml.find(_ROW_END, start) + len(_ROW_END)]
        if len(row) * _FEWEST_ROWS > len(xml):
            return None
        if self._form is None or not self._form.pattern.fullmatch(row):
            self._form = self._new_form(row)
        return self._form

    def _new_form(self, row: str) -> RowForm | None:
        begin = _ROW_START.match(row)
        if begin is None or len(row) > _LONGEST_ROW or not self._left:
            return None
        cells = []
        position = begin.end()
        while (cell := _CELL.match(row, position)) is not None:
            cells.append(cell)
            position = cell.end()
        places = [column_number(cell["column"]) for cell in cells]
        if row[position:] != _ROW_END or any(after <= before for before, after in pairwise(places)):
            return None
        filled = [place for place, cell in enumerate(cells) if _has_value(cell)]
        self._left -= 1
        return RowForm(
            re.compile(f'<row r="([0-9]{{1,7}})"([^<>]*)>{"".join(map(_pattern_of, cells))}{_ROW_END}\\s*'),
            [places[place] for place in filled],
            [self._kinds[cells[place]["attributes"]] for place in filled],
        )


def _has_value(cell: re.Match[str]) -> bool:
    return any(cell.groups()[-2:])


def _pattern_of(cell: re.Match[str]) -> str:
    """Return the pattern of cells like this one, with a group for the value if it has one. The cell may be missing."""
    start = f'<c r="{cell["column"]}[0-9]+"'
    if not _has_value(cell):
        return f"(?:{start}[^<>]*/>|)"
    *_, formula, value, _ = cell.groups()
    content = (FORMULA if formula else "") + (_VALUE if value else _INLINE_TEXT)
    return f"(?:{start}(?:{re.escape(cell['attributes'])}>{content}|[^<>]*/>)|)"
