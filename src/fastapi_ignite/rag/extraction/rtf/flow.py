"""Puts a stream of RTF text together: the body of a file, or a header, a note, a text box of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi_ignite.rag.extraction.conventions.header_rows import first_row_names_columns
from fastapi_ignite.rag.extraction.conventions.page_numbers import is_only_page_number
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_DIGITS: Final = str.maketrans("", "", "0123456789")


@dataclass(frozen=True, slots=True)
class ParagraphFormat:
    """`level` is that of a heading, 0 for none."""

    level: int = 0
    in_table: bool = False


_Rows = list[list[str]]
# the paragraphs of a cell, and the tables in it
_Cell = list[str | _Rows]


class Flow:
    """Collects runs into paragraphs, paragraphs into cells, rows and tables, and writes them to a builder.

    Notes, comments and text boxes follow the paragraph or the table in which they stand.
    """

    def __init__(self, *, is_margin: bool = False) -> None:
        self._is_margin = is_margin
        self.builder = TextBuilder()
        self.label = ""
        self.has_page_number = False
        self.row_names_columns = False
        self._pieces: list[str] = []
        self._format: ParagraphFormat | None = None
        self._has_surrogates = False
        self._cell: _Cell = []
        self._cells: list[_Cell] = []
        self._nested_cells: list[str] = []
        self._rows: list[list[_Cell]] = []
        self._header_rows = 0
        self._attached: list[TextBuilder] = []
        self._attached_to_table: list[TextBuilder] = []

    def add(self, text: str, paragraph: ParagraphFormat) -> None:
        if self._format is None:
            self._format = paragraph
        self._pieces.append(text)

    def add_code_unit(self, unit: int, paragraph: ParagraphFormat) -> None:
        """Add a unit of UTF-16, which may be half a character."""
        self._has_surrogates = self._has_surrogates or 0xD800 <= unit <= 0xDFFF  # noqa: PLR2004 - the surrogates
        self.add(chr(unit), paragraph)

    def attach(self, builder: TextBuilder) -> None:
        self._attached.append(builder)

    def end_paragraph(self, paragraph: ParagraphFormat) -> None:
        written = self._format or paragraph
        text, label = self._take_labelled()
        if written.in_table:
            self._add_to_cell(text)
            return
        self.end_table()
        if self._is_margin and self.has_page_number and is_only_page_number(text.translate(_DIGITS)):
            text = ""
        self.has_page_number = False
        if written.level:
            self.builder.heading(text, written.level)
        elif label:
            self.builder.list_item(text)
        else:
            self.builder.paragraph(text)
        self._write_attached()

    def end_cell(self) -> None:
        self._add_to_cell(self._take_labelled()[0])
        self._cells.append(self._cell)
        self._cell = []

    def end_nested_cell(self) -> None:
        self._nested_cells.append(self._take_text())

    def end_nested_row(self) -> None:
        """End a row of a table that stands in a cell."""
        if not (self._cell and isinstance(self._cell[-1], list)):
            self._cell.append([])
        table = self._cell[-1]
        if isinstance(table, list):
            table.append(self._nested_cells)
        self._nested_cells = []

    def end_row(self) -> None:
        if "".join(self._pieces).strip() or self._cell:
            self.end_cell()
        if self._cells:
            if self.row_names_columns and self._header_rows == len(self._rows):
                self._header_rows += 1
            self._rows.append(self._cells)
            self._cells = []

    def end_table(self) -> None:
        """Write the table, if there is one. One cell alone, and a row with a table in it, are frames around text."""
        if self._nested_cells:
            self.end_nested_row()
        if self._cells or self._cell:
            self._rows.append([*self._cells, *([self._cell] if self._cell else [])])
            self._cells, self._cell = [], []
        rows, self._rows = self._rows, []
        named, self._header_rows = self._header_rows, 0
        plain: _Rows = []
        for row in rows:
            if rows == [row[:1]] or any(isinstance(part, list) for cell in row for part in cell):
                self._write_table(plain, named)
                plain, named = [], 0
                self._write_frames(row)
            else:
                plain.append(["\n".join(map(str, cell)) for cell in row])
        self._write_table(plain, named)
        attached, self._attached_to_table = self._attached_to_table, []
        self._include(attached)

    def _write_frames(self, row: list[_Cell]) -> None:
        """Write the cells of a row that only frames what stands in it."""
        for cell in row:
            for part in cell:
                if isinstance(part, str):
                    self.builder.paragraph(part)
                else:
                    self._write_table(part, 0)

    def _write_table(self, rows: _Rows, named: int) -> None:
        if rows:
            self.builder.table(rows, header_rows=named or int(first_row_names_columns(rows)))

    def end(self, paragraph: ParagraphFormat) -> TextBuilder:
        """End what is open and return all that was written."""
        if self._pieces:
            self.end_paragraph(paragraph)
        self.end_table()
        self._write_attached()
        return self.builder

    def text(self) -> str:
        """Return the runs of a flow that has no paragraphs, such as the number of a list item."""
        return self._take_text().strip()

    def _take_labelled(self) -> tuple[str, str]:
        """Return the text behind its label, and the label."""
        text, label = self._take_text(), self.label
        self.label = ""
        return f"{label} {text.lstrip()}" if label and text.strip() else text, label

    def _take_text(self) -> str:
        text = "".join(self._pieces)
        self._pieces.clear()
        self._format = None
        if self._has_surrogates:
            self._has_surrogates = False
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        # one blank before a paragraph is a slip, more of them indent it
        text = text.rstrip(" ")
        return text[1:] if text.startswith(" ") and not text.startswith("  ") else text

    def _add_to_cell(self, text: str) -> None:
        if text.strip():
            self._cell.append(text)
        self._attached_to_table += self._attached
        self._attached = []

    def _write_attached(self) -> None:
        attached, self._attached = self._attached, []
        self._include(attached)

    def _include(self, attached: list[TextBuilder]) -> None:
        for builder in attached:
            self.builder.document(builder.text, builder.spans)
