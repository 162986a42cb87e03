"""Finds the headings, list items, tables and code of Markdown (CommonMark, with the tables of GitHub)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from fastapi_ignite.rag.extraction.structure import Span, SpanKind

_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]|$)")
_UNDERLINE: Final = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
_FENCE: Final = re.compile(r"[ \t]*(`{3,}(?=[^`]*$)|~{3,})")
_ITEM: Final = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+(?=\S)")
_RULE: Final = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})")
_INDENTED: Final = re.compile(r" {4}|\t| {1,3}\t")
_DELIMITER_CELL: Final = re.compile(r":?-+:?")
_FRONT_MATTER: Final = {"---": ("---", "..."), "+++": ("+++",)}
_LONGEST_FRONT_MATTER: Final = 200
_KEY: Final = re.compile(r"#|[\w\"'.-]+[ \t]*[:=]")


def markdown_spans(text: str) -> Iterator[Span]:
    """Return the spans in order.

    A heading is its line with the number signs, or the line above its underline. A list item goes on to the next item
    or empty line. A table is its rows with the line of dashes between them. Code stands without its fences. What
    stands between `---` at the top of the file (front matter) is code.
    """
    return _Scanner(text.split("\n")).run()


class _Scanner:
    """Goes forward line by line. Each method returns the number of the first line that it leaves to others."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._starts = [0, *accumulate(len(line) + 1 for line in lines)]
        self._found: list[Span] = []
        self._in_list = False

    def run(self) -> Iterator[Span]:
        number = self._front_matter()
        after_text = False
        while number < len(self._lines):
            yield from self._found
            self._found.clear()
            line = self._lines[number]
            if not line or line.isspace():
                after_text = False
                number += 1
                continue
            after = self._block(number, after_text=after_text)
            after_text = after is None
            number = number + 1 if after is None else after
        yield from self._found

    def _block(self, number: int, *, after_text: bool) -> int | None:
        """Return where the block ends that begins here; None for a line of a paragraph."""
        text = self._lines[number]
        if text[0].isalpha():  # no mark begins with a letter
            return self._unmarked(number, after_text=after_text)
        fence = _FENCE.match(text)
        if fence is not None:
            return self._fenced(number, fence[1])
        if not (after_text or self._in_list) and _INDENTED.match(text):
            return self._indented(number)
        return self._marked(number) or self._unmarked(number, after_text=after_text)

    def _marked(self, number: int) -> int | None:
        """Read a heading, a thematic break or a list item: its first characters say what it is."""
        text = self._lines[number]
        heading = _HEADING.match(text)
        if heading is not None:
            self._in_list = False
            return self._add(SpanKind.HEADING, number, number + 1, level=len(heading[1]))
        if _RULE.fullmatch(text):
            return number + 1
        if _ITEM.match(text):
            self._in_list = True
            return self._item(number)
        return None

    def _unmarked(self, number: int, *, after_text: bool) -> int | None:
        """Read a table or a heading: the line below says what it is."""
        if not self._lines[number][0].isspace():
            self._in_list = False
        if self._is_table(number):
            return self._table(number)
        return None if after_text else self._underlined(number)

    def _add(self, kind: SpanKind, first: int, after: int, *, level: int = 0, separator: str = "") -> int:
        """Add a span from the first line to the line before `after`, without blanks around it."""
        last = after - 1
        while last > first and not self._lines[last].strip():
            last -= 1
        line = self._lines[first]
        indentation = 0 if kind is SpanKind.CODE else len(line) - len(line.lstrip())
        start, end = self._starts[first] + indentation, self._starts[last] + len(self._lines[last].rstrip())
        if start < end:
            self._found.append(Span(kind, start, end, level, separator))
        return after

    def _front_matter(self) -> int:
        """Return the first line behind the front matter, or 0. Behind a rule at the beginning no key follows."""
        lines = self._lines[:_LONGEST_FRONT_MATTER]
        ends = _FRONT_MATTER.get(lines[0].rstrip(), ())
        if len(lines) < 2 or not _KEY.match(lines[1]):  # noqa: PLR2004 - the line of dashes and one more
            return 0
        after = next((number for number, line in enumerate(lines) if number and line.rstrip() in ends), 0)
        if after > 1:
            self._add(SpanKind.CODE, 1, after)
        return after and after + 1

    def _fenced(self, number: int, fence: str) -> int:
        """A fence that is never closed goes on to the end of the file."""
        after = number + 1
        while after < len(self._lines):
            mark = self._lines[after].strip()
            if mark.startswith(fence) and not mark.strip(fence[0]):
                break
            after += 1
        if after > number + 1:
            self._add(SpanKind.CODE, number + 1, after)
        return after + 1

    def _indented(self, number: int) -> int:
        last = after = number
        while after < len(self._lines):
            text = self._lines[after]
            if _INDENTED.match(text) and not text.isspace():
                last = after
            elif text.strip():
                break
            after += 1
        self._add(SpanKind.CODE, number, last + 1)
        return after

    def _item(self, number: int) -> int:
        after = number + 1
        while after < len(self._lines):
            text = self._lines[after]
            if (
                not text.strip() or _ITEM.match(text) or _HEADING.match(text) or _FENCE.match(text)
                or _RULE.fullmatch(text) or self._is_table(after)
            ):  # fmt: skip
                break
            after += 1
        return self._add(SpanKind.LIST_ITEM, number, after)

    def _underlined(self, number: int) -> int | None:
        if number + 1 >= len(self._lines) or self._lines[number][0] in ">|":
            return None
        underline = self._lines[number + 1]
        if not _UNDERLINE.fullmatch(underline):
            return None
        self._add(SpanKind.HEADING, number, number + 1, level=1 if "=" in underline else 2)
        return number + 2

    def _is_table(self, number: int) -> bool:
        if number + 1 >= len(self._lines) or "|" not in self._lines[number]:
            return False
        delimiter = self._lines[number + 1]
        if "|" not in delimiter or "-" not in delimiter:
            return False
        cells = _cells(delimiter)
        return all(map(_DELIMITER_CELL.fullmatch, cells)) and len(cells) == len(_cells(self._lines[number]))

    def _table(self, number: int) -> int:
        after = number + 2
        while after < len(self._lines) and "|" in self._lines[after]:
            after += 1
        return self._add(SpanKind.TABLE, number, after, level=1, separator="|")


def _cells(line: str) -> list[str]:
    inside = line.strip().replace("\\|", "").removeprefix("|").removesuffix("|")
    return [cell.strip() for cell in inside.split("|")]
