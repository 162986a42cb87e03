"""Finds the headings and the code of reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fastapi_ignite.rag.extraction.structure import Span, SpanKind

_ADORNMENT: Final = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*")
_DIRECTIVE: Final = re.compile(r"[ \t]*\.\. ")
_CODE_DIRECTIVE: Final = re.compile(r"[ \t]*\.\. (?:code|code-block|sourcecode)::")


def restructured_text_spans(text: str) -> Iterator[Span]:
    """Return the spans in order. The level of a heading is the place of its underline among those used so far."""
    lines = text.split("\n")
    starts, start = [], 0
    for line in lines:
        starts.append(start)
        start += len(line) + 1
    levels: list[tuple[str, bool]] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if _is_heading(lines, number):
            style = (lines[number + 1][0], number > 0 and lines[number - 1].rstrip() == lines[number + 1].rstrip())
            if style not in levels:
                levels.append(style)
            indentation = len(line) - len(line.lstrip())
            span_start, span_end = starts[number] + indentation, starts[number] + len(line.rstrip())
            yield Span(SpanKind.HEADING, span_start, span_end, levels.index(style) + 1)
            number += 2
        elif _CODE_DIRECTIVE.match(line) or (line.rstrip().endswith("::") and not _DIRECTIVE.match(line)):
            first, after = _indented(lines, number)
            if first < after:
                yield Span(SpanKind.CODE, starts[first], starts[after - 1] + len(lines[after - 1].rstrip()))
            number = after
        else:
            number += 1


def _is_heading(lines: list[str], number: int) -> bool:
    title = lines[number].strip()
    if not title or number + 1 >= len(lines) or _ADORNMENT.fullmatch(title):
        return False
    underline = lines[number + 1]
    return _ADORNMENT.fullmatch(underline) is not None and len(underline.rstrip()) >= len(title)


def _indented(lines: list[str], number: int) -> tuple[int, int]:
    """Return the first line of the block below that is indented more, and the line behind its last."""
    margin = _indentation(lines[number])
    first = number + 1
    while first < len(lines) and not lines[first].strip():
        first += 1
    after = last = first
    while after < len(lines) and (not lines[after].strip() or _indentation(lines[after]) > margin):
        if lines[after].strip():
            last = after + 1
        after += 1
    return first, max(first, last)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
