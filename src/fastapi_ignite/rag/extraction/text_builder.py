"""Puts the text of a document together, so that the offsets of its pages and spans are right by construction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from fastapi_ignite.rag.extraction.structure import MOST_SPANS, Span, SpanKind

CELL_SEPARATOR: Final = "\t"
_LINE_END: Final = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BLANKS_AT_EDGE_OF_CELL: Final = (" \t", "\t ", "\n ", "\x00")
_BLANKS_IN_CELL: Final = re.compile(r"[\t\n]+")


class TextBuilder:
    """Collects the blocks of a document in order.

    Blocks are set off by an empty line; the items of a list and the rows of a table by a line end. A block without
    text is left out. NULs are removed, and every kind of line end becomes a newline.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._page_starts: list[int] = []
        self._page_is_pending = False
        self._spans: list[Span] = []
        self._last_kind: SpanKind | None = None

    def paragraph(self, text: str) -> None:
        self._add(text, None, "\n\n")

    def line(self, text: str) -> None:
        """Add a paragraph that no empty line separates from the one before."""
        self._add(text, None, "\n")

    def heading(self, text: str, level: int) -> None:
        """Add a heading. Its line ends become blanks, because a heading is one line."""
        self._add(_one_line(text), SpanKind.HEADING, "\n\n", level=level)

    def list_item(self, text: str) -> None:
        """Add a list item, which begins with its bullet or number if the reader of the document sees one."""
        self._add(text, SpanKind.LIST_ITEM, "\n" if self._last_kind is SpanKind.LIST_ITEM else "\n\n")

    def code(self, text: str) -> None:
        self._add(text, SpanKind.CODE, "\n\n")

    def table(self, rows: Iterable[Sequence[str]], *, header_rows: int) -> None:
        """Add a table of one line a row, its cells set off by tabs. `header_rows` rows at its top name the columns.

        Line ends and tabs inside a cell become blanks. Rows without text are left out, and so are empty cells at the
        end of a row.
        """
        table = list(rows)
        lines = [CELL_SEPARATOR.join(row) for row in table]
        if not _is_clean(lines, sum(map(len, table))):
            lines = [CELL_SEPARATOR.join(map(_one_line, row)) for row in table]
        lines = [line.rstrip() for line in lines]
        header_rows = sum(map(bool, lines[:header_rows]))
        text = "\n".join(filter(None, lines))
        self._add_clean(text, SpanKind.TABLE, "\n\n", level=header_rows, cells=CELL_SEPARATOR)

    def document(self, text: str, spans: Iterable[Span]) -> None:
        """Add a text that was put together before, with its spans. It has only newlines as line ends, and no NUL."""
        before = self._length
        self._add(text, None, "\n\n")
        if self._length > before:
            shift = self._length - len(text.rstrip("\n"))
            room = max(0, MOST_SPANS - len(self._spans))
            self._spans += [replace(s, start=s.start + shift, end=s.end + shift) for s in islice(spans, room)]

    def page(self) -> None:
        """Begin the next page. A document whose pages are not fixed has none."""
        if self._page_is_pending:
            self._page_starts.append(self._length)
        self._page_is_pending = True
        self._last_kind = None

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def length(self) -> int:
        """Return how many code points the text has so far."""
        return self._length

    @property
    def page_starts(self) -> tuple[int, ...] | None:
        """Return where each page begins, the first one at 0; None if there are no pages."""
        starts = [*self._page_starts, *([self._length] if self._page_is_pending else [])]
        # what stands before the first page, if anything does, belongs to it
        return (0, *starts[1:]) if starts else None

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(self._spans)

    def _add(self, text: str, kind: SpanKind | None, separator: str, *, level: int = 0) -> None:
        self._add_clean(_with_newlines(text).strip("\n"), kind, separator, level=level)

    def _add_clean(self, text: str, kind: SpanKind | None, separator: str, *, level: int = 0, cells: str = "") -> None:
        if not text or text.isspace():
            return
        if self._length:
            self._append(separator if not self._page_is_pending else "\n\n")
        if self._page_is_pending:
            self._page_starts.append(self._length)
            self._page_is_pending = False
        start = self._length
        self._append(text)
        if kind is not None and len(self._spans) < MOST_SPANS:
            self._spans.append(Span(kind, start, self._length, level, cells))
        self._last_kind = kind

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def _with_newlines(text: str) -> str:
    # a text without control characters and separators of lines, as most cells and many paragraphs are
    if text.isprintable():
        return text
    return _LINE_END.sub("\n", text).replace("\x00", "")


def _is_clean(lines: Sequence[str], cell_count: int) -> bool:
    """Tell whether no cell has a line end, a tab or blanks at its beginning. Most tables are clean."""
    text = "\n" + "\n".join(lines)
    return (
        len(text.splitlines()) == len(lines) + 1
        and text.count(CELL_SEPARATOR) == cell_count - len(lines)
        and not any(sign in text for sign in _BLANKS_AT_EDGE_OF_CELL)
    )


def _one_line(text: str) -> str:
    if text.isprintable():
        return text.strip(" ")
    return _BLANKS_IN_CELL.sub(" ", _with_newlines(text)).strip(" \n")
