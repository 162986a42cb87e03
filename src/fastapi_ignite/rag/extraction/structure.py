"""Defines the spans that say what a stretch of the stored text is: a heading, a list item, a table, code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class SpanKind(StrEnum):
    HEADING = "heading"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch `[start:end]` of the text, in code points, without the line end behind it.

    `level` is the level of a heading, 1 for the highest, or the number of header rows of a table. Every row of a table
    is one line, unless `separator` is a comma or a semicolon: then its cells follow the rules of CSV, and a quoted cell
    may hold line ends. `separator` stands between the cells of a table: a tab, a comma, a semicolon or a vertical bar.
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
