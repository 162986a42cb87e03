"""Reads the paragraphs, lists, tables and frames of an OpenDocument file into a `TextBuilder`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.comments import comment_text
from fastapi_ignite.rag.extraction.conventions.header_rows import first_row_names_columns
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.odf.inline import SKIPPED, InlineReader, note_mark
from fastapi_ignite.rag.extraction.odf.mathml import formula_text
from fastapi_ignite.rag.extraction.odf.names import (
    ANNOTATION,
    CELL,
    CELLS,
    COLUMNS_REPEATED,
    DRAW,
    DUBLIN_CORE,
    HEADING,
    LIST,
    MATH,
    PARAGRAPH,
    ROW,
    ROWS_REPEATED,
    STYLE_NAME,
    TABLE,
    TABLE_ELEMENT,
    TEXT,
    XLINK,
    count_in,
)
from fastapi_ignite.rag.extraction.odf.numbering import Counters, ListStyle, count_item
from fastapi_ignite.rag.extraction.odf.styles import Styles
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_SECTION: Final = f"{TEXT}section"
_NOTE: Final = f"{TEXT}note"
_OBJECT: Final = f"{DRAW}object"
_CONTROL: Final = f"{DRAW}control"
_CONTROL_NAME: Final = f"{DRAW}control"
_HEADER_ROWS: Final = f"{TABLE}table-header-rows"
_ITEMS: Final = frozenset({f"{TEXT}list-item", f"{TEXT}list-header"})
_MOST_REPEATED: Final = 1000
_MOST_CHARACTERS: Final = 50_000_000
_TITLE: Final = "Title"
_TABLE_HEADING: Final = "Table_20_Heading"
_CODE: Final = frozenset({"Preformatted_20_Text", "Preformatted Text", "HTML_20_Preformatted"})


class BlockReader:
    """Reads blocks in order. Notes and comments follow the block to which they belong, text boxes their paragraph.

    `part` returns the root of an embedded object such as a formula, or None; `controls` are the values of form fields.
    """

    def __init__(
        self,
        styles: Styles,
        output: TextBuilder,
        part: Callable[[str], etree._Element | None] | None = None,
        controls: Mapping[str, str] | None = None,
    ) -> None:
        self._styles = styles
        self._output = output
        self._part = part
        self._controls = controls or {}
        self._inline = InlineReader(styles, self._text_in_line)
        self._counters = Counters()
        self._outline = [0] * 10
        self._remarks: list[etree._Element] = []
        self._inside_cells = 0
        self._code: list[str] = []
        self._repeated_characters = 0
        self._objects: dict[str, etree._Element | None] = {}

    def blocks(self, container: etree._Element) -> None:
        """Read all that stands in the element."""
        for child in container:
            self.block(child)
        self._end_code()

    def paragraph_text(self, paragraph: etree._Element) -> str:
        """Return the text of a paragraph alone, without what is anchored in it."""
        text = self._inline.read(paragraph)
        if self._inline.has_anchored:
            self._keep_remarks(self._inline.taken_anchored())
        return text

    def nested_text(self, container: etree._Element) -> str:
        """Return the text of all blocks in the element, which may stand in a cell or a note."""
        outer, self._output = self._output, TextBuilder()
        outer_code, self._code = self._code, []
        self._inside_cells += 1
        try:
            self.blocks(container)
            return self._output.text
        finally:
            self._inside_cells -= 1
            self._output, self._code = outer, outer_code

    def end_block(self) -> None:
        """Write the notes and comments of the block that has just been written."""
        while self._remarks and not self._inside_cells:
            remarks, self._remarks = self._remarks, []
            for remark in remarks:
                self._output.paragraph(self._remark(remark))

    def block(self, element: etree._Element) -> None:
        tag = element.tag
        if not isinstance(tag, str) or tag in SKIPPED:
            return
        if tag == PARAGRAPH:
            self._paragraph(element)
            return
        self._end_code()
        if tag == HEADING:
            self._heading(element)
        elif tag == LIST:
            self._outer_list(element)
        elif tag == TABLE_ELEMENT:
            self._table(element)
        elif tag == _SECTION:
            if element.get(f"{TEXT}display") != "none" and element.get(f"{TEXT}is-hidden") != "true":
                self.blocks(element)
        else:
            self._other_block(element)

    def _other_block(self, element: etree._Element) -> None:
        if element.tag in {ANNOTATION, _NOTE}:
            self._keep_remarks([element])
            self.end_block()
        elif element.tag == _OBJECT:
            self._object(element)
        elif element.tag == _CONTROL:
            self._output.paragraph(self._text_in_line(element))
        elif (element.text or "").strip():  # an element that we do not know, with text of its own
            self._paragraph(element)
        else:
            self.blocks(element)

    def _paragraph(self, element: etree._Element) -> None:
        text = self._inline.read(element)
        bases = self._styles.bases(element.get(STYLE_NAME))
        if bases & _CODE:
            self._code.append(text)
        else:
            self._end_code()
            if _TITLE in bases and not self._inside_cells:
                self._output.heading(text, 1)
            else:
                self._output.paragraph(text)
        self._read_anchored()

    def _heading(self, element: etree._Element, label: str = "") -> None:
        level = count_in(element.get(f"{TEXT}outline-level"), most=10) or 1
        label = label or self._outline_label(element, level)
        self._output.heading(_labelled(label, self._inline.read(element)), level)
        self._read_anchored()

    def _outline_label(self, element: etree._Element, level: int) -> str:
        style_name = self._styles.list_style_of_paragraph(element.get(STYLE_NAME))
        if style_name == "" or element.get(f"{TEXT}is-list-header") == "true":
            return ""
        style = self._styles.list_style(style_name) or self._styles.outline
        start = element.get(f"{TEXT}start-value") if element.get(f"{TEXT}restart-numbering") == "true" else None
        count_item(self._outline, level, style, start)
        return _given_number(element) or style.label(self._outline, level)

    def _outer_list(self, element: etree._Element) -> None:
        name = element.get(STYLE_NAME) or self._list_style_of_first_paragraph(element)
        self._list(element, 1, name, self._counters.begin(element, name))

    def _list(self, element: etree._Element, level: int, style_name: str, counters: list[int]) -> None:
        style = self._styles.list_style(style_name)
        for item in element:
            if item.tag in _ITEMS:
                self._item(item, level, style_name, style, counters)
            elif isinstance(item.tag, str):
                self.block(item)

    def _item(
        self, item: etree._Element, level: int, style_name: str, style: ListStyle | None, counters: list[int]
    ) -> None:
        label = None if item.tag == f"{TEXT}list-item" else ""
        lines: list[str] = []
        for child in item:
            if label is None and child.tag in {PARAGRAPH, HEADING}:
                count_item(counters, level, style, item.get(f"{TEXT}start-value"))
                label = _given_number(item) or (style.label(counters, level) if style else "")
            if child.tag == PARAGRAPH:
                text = self._inline.read(child)
                lines.append(_labelled(label or "", text) if text.strip() else "")
                label = label if not text.strip() else ""
                if not self._inline.has_anchored:
                    continue
            self._end_item(lines)
            if child.tag == PARAGRAPH:
                self._read_anchored()
            elif child.tag == HEADING:
                self._heading(child, label or " ")
                label = ""
            elif child.tag == LIST:
                self._list(child, level + 1, child.get(STYLE_NAME) or style_name, counters)
            elif child.tag != f"{TEXT}number":
                self.block(child)
        self._end_item(lines)

    def _end_item(self, lines: list[str]) -> None:
        if lines:
            self._output.list_item("\n".join(filter(None, lines)))
            lines.clear()

    def _list_style_of_first_paragraph(self, element: etree._Element) -> str:
        for paragraph in element.iter(PARAGRAPH, HEADING):
            return self._styles.list_style_of_paragraph(paragraph.get(STYLE_NAME)) or ""
        return ""

    def _table(self, element: etree._Element) -> None:
        """Write a table. One cell alone, and a row with a table in it, are frames around text."""
        rows: list[list[str]] = []
        named = 0
        is_frame = not self._inside_cells and _is_one_cell(element)
        for row, is_header in _rows(element, inside_header=False):
            if is_frame or (not self._inside_cells and next(row.iter(TABLE_ELEMENT), None) is not None):
                self._write_rows(element, rows, named)
                rows, named = [], 0
                for cell in row.iterchildren(CELL):
                    self.blocks(cell)
                continue
            times = count_in(row.get(ROWS_REPEATED), most=_MOST_REPEATED)
            cells = self._cells(row)
            self.count_repeated(cells, times - 1)
            named += times if is_header and named == len(rows) else 0
            rows += [cells] * times
        self._write_rows(element, rows, named)
        self.end_block()

    def _write_rows(self, table: etree._Element, rows: list[list[str]], named: int) -> None:
        if not named and len(rows) > 1:
            marked = table.get(f"{TABLE}use-first-row-styles") == "true" or self._is_heading_row(table)
            named = int(marked or first_row_names_columns(rows))
        self._output.table(rows, header_rows=named)

    def count_repeated(self, cells: list[str], times: int) -> None:
        """Count what a repetition adds to the text, which a few bytes of a file can make endless.

        Raises:
            ExtractionError: repetitions alone make more text than any document has.
        """
        self._repeated_characters += (sum(map(len, cells)) + len(cells)) * times
        if self._repeated_characters > _MOST_CHARACTERS:
            raise ExtractionError(ErrorCode.TOO_MANY_CHARACTERS)

    def _cells(self, row: etree._Element) -> list[str]:
        cells: list[str] = []
        empty = 0
        for cell in row:
            if cell.tag not in CELLS:
                continue
            times = count_in(cell.get(COLUMNS_REPEATED), most=_MOST_REPEATED)
            # what a merged cell covers is not shown
            text = self.cell_text(cell) if cell.tag == CELL else ""
            if not text:
                empty += times
                continue
            self.count_repeated([text], times - 1)
            self.count_repeated([""], empty)
            cells += [*[""] * empty, *[text] * times]
            empty = 0
        return cells

    def cell_text(self, cell: etree._Element) -> str:
        if len(cell) == 1 and cell[0].tag == PARAGRAPH and not len(cell[0]):
            return self._inline.read(cell[0])
        return self.nested_text(cell)

    def _is_heading_row(self, table: etree._Element) -> bool:
        """Tell whether the program that wrote the first row formatted it as the heading of the table."""
        row = next((row for row, _ in _rows(table, inside_header=False)), None)
        paragraphs = [] if row is None else list(row.iterchildren(*CELLS))
        names = [next((p.get(STYLE_NAME) for p in cell.iterchildren(PARAGRAPH)), None) for cell in paragraphs]
        return bool(names) and all(_TABLE_HEADING in self._styles.bases(name) for name in names)

    def _read_anchored(self) -> None:
        if not (self._inline.has_anchored or self._remarks):
            return
        anchored = self._inline.taken_anchored()
        boxes = [element for element in anchored if element.tag not in {_NOTE, ANNOTATION}]
        if boxes:
            self._end_code()
        self._keep_remarks(anchored)
        self.end_block()
        for box in boxes:
            self.block(box)

    def _keep_remarks(self, anchored: list[etree._Element]) -> None:
        self._remarks += [element for element in anchored if element.tag in {_NOTE, ANNOTATION}]

    def _remark(self, element: etree._Element) -> str:
        if element.tag == _NOTE:
            body = next(element.iterchildren(f"{TEXT}note-body"), None)
            text = self.nested_text(body) if body is not None else ""
            return f"{note_mark(element)} {text}" if text else ""
        creators = element.iterchildren(f"{DUBLIN_CORE}creator")
        author = next((creator.text for creator in creators if creator.text), "")
        return comment_text(self.nested_text(element), author)

    def _end_code(self) -> None:
        if self._code:
            lines, self._code = self._code, []
            self._output.code("\n".join(lines))

    def _object(self, element: etree._Element) -> None:
        """Read an embedded object, once and not those inside it: a chart has a title and a table, a sheet its cells."""
        root = self._embedded(element)
        self._forget(element)
        if root is None:
            self.blocks(element)
        elif root.tag != f"{MATH}math":
            part, self._part = self._part, None
            try:
                self.blocks(root)
            finally:
                self._part = part
        else:
            self._output.paragraph(formula_text(root))

    def _text_in_line(self, frame: etree._Element) -> str:
        """Return the formula or form field that stands in the line; empty if the frame holds something else."""
        if frame.tag == _CONTROL:
            return self._controls.get(frame.get(_CONTROL_NAME, ""), "")
        for element in frame.iterchildren(_OBJECT):
            root = self._embedded(element)
            if root is not None and root.tag == f"{MATH}math":
                self._forget(element)
                return formula_text(root)
        return ""

    def _embedded(self, element: etree._Element) -> etree._Element | None:
        math = next(element.iterchildren(f"{MATH}math"), None)
        if math is not None:
            return math
        target = _target(element)
        if self._part and target and target not in self._objects:
            self._objects[target] = self._part(f"{target}/content.xml")
        return self._objects.get(target) if self._part else None

    def _forget(self, element: etree._Element) -> None:
        """Drop an object that has been read, and do not read it again: a file may refer to it endlessly."""
        if _target(element) in self._objects:
            self._objects[_target(element)] = None


def _target(element: etree._Element) -> str:
    return element.get(f"{XLINK}href", "").removeprefix("./").rstrip("/")


def _is_one_cell(table: etree._Element) -> bool:
    cells = [cell for row, _ in _rows(table, inside_header=False) for cell in row.iterchildren(*CELLS)]
    return len(cells) == 1 and COLUMNS_REPEATED not in cells[0].attrib


def _rows(container: etree._Element, *, inside_header: bool) -> Iterator[tuple[etree._Element, bool]]:
    for child in container:
        if child.tag == ROW:
            yield child, inside_header
        elif child.tag in {_HEADER_ROWS, f"{TABLE}table-rows", f"{TABLE}table-row-group"}:
            yield from _rows(child, inside_header=inside_header or child.tag == _HEADER_ROWS)


def _given_number(element: etree._Element) -> str:
    """Return the number that the file itself gives for programs that do not count."""
    number = next(element.iterchildren(f"{TEXT}number"), None)
    return "".join(number.itertext()).strip() if number is not None else ""


def _labelled(label: str, text: str) -> str:
    label = label.strip()
    return f"{label} {text}" if label and text.strip() else text
