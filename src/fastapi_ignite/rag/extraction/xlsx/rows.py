"""Reads the rows of a worksheet.

Almost all programs write cells in a few plain forms. Those are read by a regular expression, which takes a third of the
time of an XML parser in Python; a sheet that has anything else is read again by the parser. Both give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.ooxml.parts import find, is_true, parse_xml, refuse_document_type
from fastapi_ignite.rag.extraction.package_parts import XML_DAMAGE, parse_events
from fastapi_ignite.rag.extraction.xlsx.cell_values import CellKind, CellValues, string_text, unescaped

# of a whole workbook, so that long strings that many cells share cannot fill the memory
_MOST_CHARACTERS: Final = 40_000_000
# so many rows with other cells are remembered; a sheet has few kinds of rows
_KNOWN_ROWS: Final = 1000
_START: Final = "<sheetData>"
_END: Final = "</sheetData>"
_ROW_END: Final = "</row>"
# a piece of so many characters is read at a time, to the end of a row
_PIECE: Final = 250_000
# its groups: column, attributes, value, and the content of a cell that is not so plain
_CELL: Final = re.compile(
    r'<c r="([A-Z]+)[0-9]+"([^<>]*)>(?:(?:<f[^<>]*>(?:(?<=/>)|[^<]*</f>))?'
    r'<(?:v|is><t(?: xml:space="preserve")?)>([^<]+)</(?:v|t></is)></c>'
    r"|((?<=/>)|[^<]*(?:<(?!/?c[ >/])[^<]*)*</c>))"
)
_GROUPS: Final = 5
# what may stand between two cells of different rows: the end of a row, empty rows, the beginning of a row
_BETWEEN_ROWS: Final = re.compile(
    r"\s*(?P<end></row>\s*)?(?P<empty>(?:<row(?: [^<>]*)?/>\s*)*)"
    r'(?P<begin><row(?: r="(?P<number>[0-9]+)")?(?P<attributes>(?: [^<>]*)?)(?<!/)>\s*)?'
)
_PLAIN_ATTRIBUTES: Final = re.compile(r'(?: [a-z]+="[^"&]*")*/?')
_ATTRIBUTE: Final = re.compile(r'([A-Za-z:]+)="([^"]*)"')
_REFERENCE: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})$")
_ENTITIES: Final = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY: Final = re.compile(r"&(?:[a-z]+;)?")
_FUNCTION_PREFIX: Final = re.compile(r"_xl(?:fn|ws|udf)\.")
_WITHOUT_VALUE: Final = "=?"


@dataclass(slots=True)
class SheetRow:
    """A row with text. `columns` are the places of its cells, 0 for column A; empty cells are left out."""

    number: int
    hidden: bool
    columns: Sequence[int]
    texts: list[str]
    kinds: Sequence[CellKind]


class _KindByAttributes(dict[str, CellKind]):
    """The kinds of cells by their attributes as they stand in the file, such as ` s="3" t="s"`."""

    def __init__(self, values: CellValues) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, attributes: str) -> CellKind:
        if not _PLAIN_ATTRIBUTES.fullmatch(attributes):
            raise _NotPlainError
        given = dict(_ATTRIBUTE.findall(attributes))
        kind = self[attributes] = self._values.kind(given.get("t", "n"), given.get("s", "0"))
        return kind


class _NotPlainError(Exception):
    """The sheet is written in a way that only an XML parser reads right."""


class RowReader:
    """Reads the sheets of one workbook and bounds the text that they may hold together."""

    def __init__(self, values: CellValues) -> None:
        self._values = values
        self._characters = 0
        self._columns: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._kinds: dict[tuple[str, ...], tuple[CellKind, ...]] = {}
        self._kind_by_attributes = _KindByAttributes(values)

    def read(self, content: bytes) -> tuple[list[SheetRow], etree._Element]:
        """Return the rows of a sheet that hold text, in order, and the sheet without its rows.

        Raises:
            ExtractionError: the sheet is damaged, or holds more text than one file may.
        """
        before = self._characters
        try:
            return self._plain(content)
        except _NotPlainError:
            self._characters = before
            return self._parsed(content)

    def _plain(self, content: bytes) -> tuple[list[SheetRow], etree._Element]:
        try:
            xml = content.decode().removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise _NotPlainError from None
        if "\r" in xml:
            xml = xml.replace("\r\n", "\n").replace("\r", "\n")
        start = xml.find(_START)
        if start < 0 or "<!" in xml or not _says_utf8(xml[:200]):
            raise _NotPlainError
        end = xml.rfind(_END)
        rows = self._plain_rows(xml, start + len(_START), end)
        return rows, parse_xml((xml[: start + len(_START)] + xml[end:]).encode())

    def _plain_rows(self, xml: str, position: int, end: int) -> list[SheetRow]:
        rows: list[SheetRow] = []
        number = 0
        while position < end:
            stop = xml.find(_ROW_END, min(position + _PIECE, end), end)
            stop = end if stop < 0 else stop + len(_ROW_END)
            number = self._add_plain_rows(xml[position:stop], number, rows)
            position = stop
        return rows

    def _add_plain_rows(self, xml: str, number: int, rows: list[SheetRow]) -> int:
        """Add the rows of a piece of a sheet. Return the number of the last one."""
        parts = _CELL.split(xml)
        between, letters, attributes = parts[::_GROUPS], parts[1::_GROUPS], parts[2::_GROUPS]
        texts = self._texts(attributes, parts[3::_GROUPS], parts[4::_GROUPS], has_entities="&" in xml)
        self._count(texts)
        edges = [place for place, text in enumerate(between) if text and not text.isspace()]
        is_open = False
        for edge, next_edge in pairwise([*edges, len(letters)]):
            begin = _BETWEEN_ROWS.fullmatch(between[edge])
            if begin is None or bool(begin["end"]) is not is_open:
                raise _NotPlainError
            is_open = begin["begin"] is not None
            if edge == next_edge:
                continue
            if not is_open:
                raise _NotPlainError
            number = int(begin["number"]) if begin["number"] else number + 1
            hidden = "hidden" in begin["attributes"] and is_true(
                dict(_ATTRIBUTE.findall(begin["attributes"])).get("hidden")
            )
            row = SheetRow(
                number,
                hidden,
                self._columns_of(tuple(letters[edge:next_edge])),
                texts[edge:next_edge],
                self._kinds_of(tuple(attributes[edge:next_edge])),
            )
            if "" in row.texts:
                row = _without_empty_cells(row)
            if row.texts:
                rows.append(row)
        if is_open:
            raise _NotPlainError
        return number

    def _texts(
        self, attributes: list[str], values: list[str | None], others: list[str | None], *, has_entities: bool
    ) -> list[str]:
        if has_entities:
            values = [_without_entities(value) if value and "&" in value else value for value in values]
        kinds = self._kind_by_attributes
        texts = [kinds[given].show(value) if value else "" for given, value in zip(attributes, values, strict=True)]
        if any(others):
            for place, other in enumerate(others):
                if other:
                    kind = kinds[attributes[place]]
                    texts[place] = self._cell_text(_as_element(attributes[place], other), kind)
        return texts

    def _columns_of(self, letters: tuple[str, ...]) -> tuple[int, ...]:
        """Return the places of columns. Most rows of a sheet have the same ones."""
        columns = self._columns.get(letters)
        if columns is None:
            columns = tuple(map(column_number, letters))
            if any(after <= before for before, after in pairwise(columns)):
                raise _NotPlainError
            if len(self._columns) < _KNOWN_ROWS:
                self._columns[letters] = columns
        return columns

    def _kinds_of(self, attributes: tuple[str, ...]) -> tuple[CellKind, ...]:
        kinds = self._kinds.get(attributes)
        if kinds is None:
            kinds = tuple(map(self._kind_by_attributes.__getitem__, attributes))
            if len(self._kinds) < _KNOWN_ROWS:
                self._kinds[attributes] = kinds
        return kinds

    def _parsed(self, content: bytes) -> tuple[list[SheetRow], etree._Element]:
        rows: list[SheetRow] = []
        number = 0
        try:
            events = parse_events(content, "{*}row")
            for _, element in events:
                number = _row_number(element.get("r"), number)
                row = self._parsed_row(element, number)
                if row is not None:
                    self._count(row.texts)
                    rows.append(row)
                element.clear()
                parent = element.getparent()
                while parent is not None and parent[0] is not element:
                    del parent[0]
            root = events.root
        except XML_DAMAGE as damage:
            raise ExtractionError(ErrorCode.CORRUPT_FILE) from damage
        return rows, refuse_document_type(root)

    def _parsed_row(self, element: etree._Element, number: int) -> SheetRow | None:
        cells: dict[int, tuple[str, CellKind]] = {}
        column = -1
        for cell in element.iter("{*}c"):
            reference = _REFERENCE.match(cell.get("r", ""))
            column = column_number(reference[1].upper()) if reference else column + 1
            kind = self._values.kind(cell.get("t", "n"), cell.get("s", "0"))
            text = self._cell_text(cell, kind)
            if text:
                cells[column] = (text, kind)
        if not cells:
            return None
        columns = sorted(cells)
        texts, kinds = zip(*(cells[column] for column in columns), strict=True)
        return SheetRow(number, is_true(element.get("hidden")), columns, list(texts), kinds)

    @staticmethod
    def _cell_text(cell: etree._Element, kind: CellKind) -> str:
        """Return what a cell shows. A formula whose value was never computed shows itself: `=A1*B1`."""
        value, formula, inline = (find(cell, name) for name in ("v", "f", "is"))
        if inline is not None:
            return string_text(inline)
        if value is not None and value.text:
            return kind.show(value.text)
        if formula is None or (value is not None and cell.get("t") == "str"):
            return ""
        return f"={_FUNCTION_PREFIX.sub('', unescaped(formula.text))}" if formula.text else _WITHOUT_VALUE

    def _count(self, texts: Sequence[str]) -> None:
        self._characters += sum(map(len, texts))
        if self._characters > _MOST_CHARACTERS:
            raise ExtractionError(ErrorCode.TOO_MANY_CHARACTERS)


def _without_empty_cells(row: SheetRow) -> SheetRow:
    filled = [place for place, text in enumerate(row.texts) if text]
    return SheetRow(
        row.number,
        row.hidden,
        [row.columns[place] for place in filled],
        [row.texts[place] for place in filled],
        [row.kinds[place] for place in filled],
    )


def column_number(letters: str) -> int:
    """Return the place of a column: 0 for `A`, 26 for `AA`."""
    place = 0
    for letter in letters:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1


def _says_utf8(beginning: str) -> bool:
    declared = re.match(r"\s*<\?xml[^>]*?encoding=[\"']([^\"']+)", beginning)
    return declared is None or declared[1].lower() in {"utf-8", "utf8", "us-ascii"}


def _row_number(value: str | None, before: int) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 8 else before + 1  # noqa: PLR2004  # digits


def _without_entities(text: str) -> str:
    try:
        return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text)
    except KeyError:  # a character by its number, or damage
        raise _NotPlainError from None


def _as_element(attributes: str, content: str) -> etree._Element:
    try:
        return parse_xml(f"<c{attributes}>{content}".encode())
    except ExtractionError:  # damage, or a prefix that the sheet declares
        raise _NotPlainError from None
