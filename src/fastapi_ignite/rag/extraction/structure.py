"""Defines the spans that say what a stretch of the stored text is: a heading, a list item, a table, code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# A text of millions of list items keeps its words, but items beyond this number are not told apart any more.
MOST_SPANS: Final = 200_000


class SpanKind(StrEnum):
    HEADING = "heading"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Span:
    r"""A stretch `[start:end]` of the text, in code points, without the line end behind it.

    `level` is the level of a heading, 1 for the highest, or the number of header rows of a table. `separator` stands
    between the cells of a table:

    - a tab: every line is a row, and its cells are what stands between the tabs
    - a comma or a semicolon: the rules of CSV hold; a cell in quotation marks may hold line ends
    - a vertical bar: every line is a row; blanks around a cell and a bar at the edge of a line are no part of it, and
      `\|` is a bar inside a cell. The line of dashes under the header of a Markdown table (`|---|:-:|`) is part of
      the span, but no row, and `level` does not count it.

    A heading of Markdown begins with its number signs. Code of Markdown stands without its fences.
    """

    kind: SpanKind
    start: int
    end: int
    level: int = 0
    separator: str = ""


def most_telling(spans: Sequence[Span], limit: int) -> Sequence[Span]:
    """Return at most `limit` spans, without the items of lists where there are more, since they tell least."""
    if len(spans) <= limit:
        return spans
    return [span for span in spans if span.kind is not SpanKind.LIST_ITEM][:limit]


def spans_to_json(spans: Iterable[Span]) -> list[list[str | int]]:
    """Return the spans in the compact form in which they are sent between processes and stored."""
    return [[span.kind.value, span.start, span.end, span.level, span.separator] for span in spans]


def spans_from_json(rows: Iterable[Sequence[str | int]]) -> tuple[Span, ...]:
    """Return the spans that `spans_to_json` was given.

    Raises:
        ValueError: a row is not a span.
    """
    return tuple(
        Span(SpanKind(str(kind)), int(start), int(end), int(level), str(separator))
        for kind, start, end, level, separator in rows
    )
