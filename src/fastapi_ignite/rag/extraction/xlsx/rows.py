"""Reads the rows of a worksheet: of a plain one by regular expressions, of any other by an XML parser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.ooxml.parts import is_true, parse_xml, refuse_document_type
from fastapi_ignite.rag.extraction.package_parts import XML_DAMAGE, parse_events
from fastapi_ignite.rag.extraction.xlsx.cell_values import CellKind, CellValues, cell_text
from fastapi_ignite.rag.extraction.xlsx.plain_markup import NotPlainError
from fastapi_ignite.rag.extraction.xlsx.plain_rows import PlainRows
from fastapi_ignite.rag.extraction.xlsx.sheet_row import SheetRow, column_number

# of a whole workbook, so that long strings that many cells share cannot fill the memory
_MOST_CHARACTERS: Final = 40_000_000
_START: Final = "<sheetData>"
_END: Final = "</sheetData>"
_REFERENCE: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})$")


class RowReader:
    """Reads the sheets of one workbook and bounds the text that they may hold together."""

    def __init__(self, values: CellValues) -> None:
        self._values = values
        self._plain = PlainRows(values)
        self._characters = 0

    def read(self, content: bytes) -> tuple[list[SheetRow], etree._Element]:
        """Return the rows of a sheet that hold text, in order, and the sheet without its rows.

        Raises:
            ExtractionError: the sheet is damaged, or holds more text than one file may.
        """
        before = self._characters
        try:
            return self._read_plain(content)
        except NotPlainError:
            self._characters = before
            return self._parse(content)

    def _read_plain(self, content: bytes) -> tuple[list[SheetRow], etree._Element]:
        try:
            xml = content.decode().removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise NotPlainError from None
        if "\r" in xml:
            xml = xml.replace("\r\n", "\n").replace("\r", "\n")
        start = xml.find(_START)
        # one character is found much faster than two
        if start < 0 or ("!" in xml and "<!" in xml) or not _says_utf8(xml[:200]):
            raise NotPlainError
        end = xml.rfind(_END)
        rows: list[SheetRow] = []
        for piece in self._plain.pieces(xml, start + len(_START), end):
            self._count(piece)
            rows += piece
        return rows, parse_xml((xml[: start + len(_START)] + xml[end:]).encode())

    def _parse(self, content: bytes) -> tuple[list[SheetRow], etree._Element]:
        rows: list[SheetRow] = []
        number = 0
        try:
            events = parse_events(content, "{*}row")
            for _, element in events:
                number = _row_number(element.get("r"), number)
                row = self._parsed_row(element, number)
                if row is not None:
                    self._count([row])
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
            text = cell_text(cell, kind)
            if text:
                cells[column] = (text, kind)
        if not cells:
            return None
        columns = sorted(cells)
        texts, kinds = zip(*(cells[column] for column in columns), strict=True)
        return SheetRow(number, is_true(element.get("hidden")), columns, list(texts), kinds)

    def _count(self, rows: Sequence[SheetRow]) -> None:
        self._characters += sum(map(len, chain.from_iterable([row.texts for row in rows])))
        if self._characters > _MOST_CHARACTERS:
            raise ExtractionError(ErrorCode.TOO_MANY_CHARACTERS)


def _says_utf8(beginning: str) -> bool:
    declared = re.match(r"\s*<\?xml[^>]*?encoding=[\"']([^\"']+)", beginning)
    return declared is None or declared[1].lower() in {"utf-8", "utf8", "us-ascii"}


def _row_number(value: str | None, before: int) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 8 else before + 1  # noqa: PLR2004  # digits
