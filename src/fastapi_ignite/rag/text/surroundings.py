"""What a passage must know of its document: the headings above it, and the lists, tables and code that it touches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from fastapi_ignite.rag.extraction.structure import Span, SpanKind, spans_from_json, spans_to_json
from fastapi_ignite.rag.text.sentences import LONGEST

# Characters read on each side of a passage, so that no sentence which touches it is cut.
WINDOW_MARGIN: Final = LONGEST + 100
LONGEST_HEADING: Final = 200
# The part of a chunk's tokens that may tell where it stands, so that its own words still weigh most.
LONGEST_CONTEXT: Final = 300


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a passage, with offsets of the document.

    `above` is the path of headings at the beginning of the passage, each with its level. `spans` touch the window
    around the passage, in order. A table that reaches out of the window is cut at the beginning of a row, and has
    `level` 0 when its header is cut off. `columns` has the column names of each of the tables, by the table's start.
    """

    above: tuple[tuple[int, str], ...] = ()
    spans: tuple[Span, ...] = ()
    columns: tuple[tuple[int, tuple[str, ...]], ...] = ()

    def table_at(self, offset: int) -> Span | None:
        """Return the table that this code point of the document stands in, or None."""
        position = bisect_right(self.spans, offset, key=lambda span: span.start)
        for span in reversed(self.spans[:position]):
            if span.kind is SpanKind.TABLE:
                return span if offset < span.end else None
        return None

    def column_names(self, offset: int) -> tuple[str, ...]:
        """Return the names of the columns of the table at this code point, or none."""
        table = self.table_at(offset)
        return dict(self.columns).get(table.start, ()) if table else ()

    def to_json(self) -> dict[str, Any] | None:
        """Return the compact form that is stored, or None where there is nothing to know."""
        if not (self.above or self.spans):
            return None
        return {
            "above": [list(heading) for heading in self.above],
            "spans": spans_to_json(self.spans),
            "columns": [[start, list(names)] for start, names in self.columns],
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> Self:
        """Return what `to_json` stored. Passages that were stored without it know nothing."""
        if stored is None:
            return cls()
        return cls(
            above=tuple((level, heading) for level, heading in stored["above"]),
            spans=spans_from_json(stored["spans"]),
            columns=tuple((start, tuple(names)) for start, names in stored["columns"]),
        )


def heading_path(above: Sequence[tuple[int, str]], further: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Return the path after further headings: each ends the headings of its own level and of lower ones."""
    path = list(above)
    for level, heading in further:
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, heading))
    return tuple(path)


def context_text(headings: Sequence[str], names: Sequence[str]) -> str:
    """Return the words that are indexed with a passage though they stand elsewhere: headings and column names."""
    lines = [" > ".join(headings)[-LONGEST_CONTEXT:], " | ".join(name for name in names if name)[:LONGEST_CONTEXT]]
    return "\n".join(line for line in lines if line)
