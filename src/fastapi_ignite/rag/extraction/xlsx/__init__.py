"""Reads workbooks of Excel since 2007 (`.xlsx`, `.xltx` and their kinds with macros): values as people see them.

The name of a sheet is a heading, and a row is a line. Left out on purpose: formulas (but `=A1*B1` where the program
that wrote the file never computed a value), phonetic guides, the targets of links, headers and footers of printed
pages, lists of allowed values, defined names, the caches of pivot tables and of other workbooks, embedded files, and
sheets without text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.comments import comment_text
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.ooxml.charts import add_chart
from fastapi_ignite.rag.extraction.ooxml.drawing_text import paragraphs
from fastapi_ignite.rag.extraction.ooxml.parts import (
    OfficeParts,
    Relation,
    children,
    chosen_children,
    descendants,
    find,
    is_true,
    local_name,
    relation_id,
)
from fastapi_ignite.rag.extraction.result import ExtractedText
from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from fastapi_ignite.rag.extraction.xlsx.cell_values import CellValues, string_text
from fastapi_ignite.rag.extraction.xlsx.rows import RowReader
from fastapi_ignite.rag.extraction.xlsx.sheet_row import column_number
from fastapi_ignite.rag.extraction.xlsx.tables import COLUMNS, Area, SheetLayout, add_tables

_HIDDEN_SHEET: Final = "(hidden sheet)"
_AREA: Final = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?$")
_THREAD: Final = "tc={"


def read(data: bytes, media_type: MediaType) -> ExtractedText:
    """Read a workbook.

    Raises:
        ExtractionError: the package is damaged, a sheet is missing, or the workbook holds too much text.
    """
    builder = TextBuilder()
    _Workbook(builder, OfficeParts(data)).add()
    return ExtractedText(builder.text, None, media_type.value, builder.spans)


class _Workbook:
    def __init__(self, builder: TextBuilder, parts: OfficeParts) -> None:
        self._builder = builder
        self._parts = parts
        name = parts.main_part("xl/workbook.xml")
        self._root = parts.required_xml(name)
        self._relations = parts.relations(name)
        properties = find(self._root, "workbookPr")
        values = CellValues(
            self._first("sharedStrings"),
            self._first("styles"),
            epoch_1904=properties is not None and is_true(properties.get("date1904")),
        )
        self._rows = RowReader(values)
        self._people = {
            person.get("id", ""): person.get("displayName", "") for person in children(self._first("person"), "person")
        }

    def _first(self, kind: str) -> etree._Element | None:
        names = (relation.target for relation in self._relations.values() if relation.kind == kind)
        return next((root for name in names if (root := self._parts.xml(name)) is not None), None)

    def add(self) -> None:
        for sheet in children(find(self._root, "sheets"), "sheet"):
            relation = self._relations.get(relation_id(sheet))
            content = None if relation is None else self._parts.content(relation.target)
            if relation is None or content is None:
                raise ExtractionError(ErrorCode.CORRUPT_FILE)
            hidden = sheet.get("state", "visible") != "visible"
            title = f"{sheet.get('name', '')} {_HIDDEN_SHEET if hidden else ''}".strip()
            self._add_sheet(relation.target, content, title)

    def _add_sheet(self, name: str, content: bytes, title: str) -> None:
        rows, root = self._rows.read(content)
        relations = self._parts.relations(name)
        drawings = [relation.target for relation in relations.values() if relation.kind == "drawing"]
        comments = list(filter(None, self._comments(relations)))
        if not rows and not comments and not self._show_text(drawings):
            return
        self._builder.heading(title, 1)
        add_tables(self._builder, rows, self._layout(root, relations))
        for drawing in drawings:
            self._add_drawing(self._builder, drawing)
        for comment in comments:
            self._builder.paragraph(comment)

    def _show_text(self, drawings: Sequence[str]) -> bool:
        trial = TextBuilder()
        for drawing in drawings:
            self._add_drawing(trial, drawing)
        return trial.length > 0

    def _layout(self, root: etree._Element, relations: dict[str, Relation]) -> SheetLayout:
        layout = SheetLayout()
        for merged in children(find(root, "mergeCells"), "mergeCell"):
            area = _area(merged.get("ref"))
            if area is not None:
                layout.merged[area.top, area.left] = area
        for columns in islice(children(find(root, "cols"), "col"), COLUMNS):
            if is_true(columns.get("hidden")):
                layout.hide(_number(columns.get("min")) - 1, _number(columns.get("max")))
        tables = (self._parts.xml(link.target) for link in relations.values() if link.kind == "table")
        headers: dict[int, int] = {}
        for table in tables:
            area = None if table is None else _area(table.get("ref"))
            if table is not None and area is not None:
                headers[area.top] = _number(table.get("headerRowCount", "1"))
        layout.headers = headers
        return layout

    def _add_drawing(self, builder: TextBuilder, name: str) -> None:
        """Add the text boxes and the charts that lie over the cells."""
        relations = self._parts.relations(name)
        for anchor in chosen_children(self._parts.xml(name)):
            for element in _visible(anchor):
                if local_name(element) == "p":
                    for text in paragraphs(element):
                        builder.paragraph(text)
                elif relation_id(element) in relations:
                    add_chart(builder, self._parts, relations[relation_id(element)].target)

    def _comments(self, relations: dict[str, Relation]) -> Iterator[str]:
        """Yield comments with their cells. A thread also has one for older programs, which says the same less well."""
        for relation in relations.values():
            root = self._parts.xml(relation.target) if relation.kind in {"comments", "threadedComment"} else None
            authors = [author.text or "" for author in children(find(root, "authors"), "author")]
            for comment in descendants(root, "comment"):
                place = _number(comment.get("authorId"))
                author = authors[place] if place < len(authors) else ""
                text = find(comment, "text")
                if text is not None and not author.startswith(_THREAD):
                    yield _comment(comment.get("ref", ""), author, string_text(text))
            for comment in descendants(root, "threadedComment"):
                texts = "".join(text.text or "" for text in children(comment, "text"))
                yield _comment(comment.get("ref", ""), self._people.get(comment.get("personId", ""), ""), texts)


def _comment(reference: str, author: str, text: str) -> str:
    """Excel begins a comment with the name of its author, which is not said twice."""
    text = text.strip()
    text = text.removeprefix(f"{author}:").lstrip() if author else text
    return comment_text(text, author, place=reference)


def _visible(element: etree._Element) -> Iterator[etree._Element]:
    """Yield the paragraphs and charts below an element, of alternatives the first."""
    for child in chosen_children(element):
        if local_name(child) in {"p", "chart"}:
            yield child
        else:
            yield from _visible(child)


def _area(reference: str | None) -> Area | None:
    found = _AREA.match(reference or "")
    if found is None:
        return None
    left, top, right, bottom = found.groups()
    return Area(int(top), column_number(left), int(bottom or top), column_number(right or left))


def _number(value: str | None) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 8 else 0  # noqa: PLR2004  # no honest number
