"""Cuts a text into passages that are searched, embedded and quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from fastapi_ignite.rag.extraction.result import page_at
from fastapi_ignite.rag.extraction.structure import Span, SpanKind
from fastapi_ignite.rag.text.outline import Outline
from fastapi_ignite.rag.text.prose_splitting import CAPACITY, OVERLAP, SHORTEST_FULL, split_prose
from fastapi_ignite.rag.text.surroundings import Surroundings
from fastapi_ignite.rag.text.tables import Row, read_row
from fastapi_ignite.rag.text.titles import title_of

# From so many characters on, a passage ends where a heading begins.
_ENOUGH_BEFORE_HEADING: Final = SHORTEST_FULL // 2
_PARAGRAPH: Final = re.compile(r"\S[^\n]*+(?:\n(?![ \t]*+(?:\n|\Z))[^\n]*+)*+")


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A passage, which is `[char_start:char_end]` of the document in code points. `page` is where it begins.

    `context` is indexed with the text though it stands elsewhere: the headings above it and the names of its columns,
    or the title of a text without spans.
    """

    ordinal: int
    char_start: int
    char_end: int
    page: int | None
    text: str
    context: str = ""
    surroundings: Surroundings = field(default_factory=Surroundings)


class _Role(Enum):
    HEADING = auto()
    HEADER_ROW = auto()
    PROSE = auto()
    ITEM = auto()

    @property
    def leads(self) -> bool:
        """Return whether it belongs to what follows."""
        return self in {_Role.HEADING, _Role.HEADER_ROW}


class _Unit(NamedTuple):
    """A stretch that is whole in one passage if it can be."""

    start: int
    end: int
    role: _Role


def chunk_text(text: str, page_starts: tuple[int, ...] | None, spans: Sequence[Span] = ()) -> list[TextChunk]:
    """Return passages of at most 900 characters, in order. Together they hold all of the text but blanks.

    `spans` are in the order of their starts. A row of a table is cut only where it is longer than a passage, then
    between its cells. A heading stands with what follows it; an item of a list or a block of code is whole where it
    fits. Prose is cut between sentences, and neighbouring passages share the last one.
    """
    if not spans:
        title = title_of(text)
        return [
            TextChunk(ordinal, start, end, page_at(page_starts, start), text[start:end], title if ordinal else "")
            for ordinal, (start, end) in enumerate(split_prose(text, 0, len(text)))
        ]
    outline = Outline(text, spans)
    return [
        TextChunk(
            ordinal,
            start,
            end,
            page_at(page_starts, start),
            text[start:end],
            outline.context(start, end),
            outline.surroundings(start, end),
        )
        for ordinal, (start, end) in enumerate(_packed(text, _units(text, outline)))
    ]


def _packed(text: str, units: Iterable[_Unit]) -> Iterator[tuple[int, int]]:
    """Yield passages of whole units, each as full as its units allow."""
    passage: list[_Unit] = []
    for unit in units:
        if not _takes(passage, unit):
            kept, passage = _parted(passage, unit)
            if kept:
                yield kept[0].start, kept[-1].end
        if _is_cut(passage, unit):
            reserved = unit.start - passage[0].start if passage else 0
            pieces = list(split_prose(text, unit.start, unit.end, reserved=reserved))
            pieces[0] = (unit.start - reserved, pieces[0][1])
            yield from pieces[:-1]
            passage = [_Unit(*pieces[-1], unit.role)]
        else:
            passage.append(unit)
    if passage:
        yield passage[0].start, passage[-1].end


def _takes(passage: Sequence[_Unit], unit: _Unit) -> bool:
    if not passage:
        return True
    if unit.end - passage[0].start > CAPACITY:
        return False
    length = passage[-1].end - passage[0].start
    return passage[-1].role.leads or length < (_ENOUGH_BEFORE_HEADING if unit.role is _Role.HEADING else SHORTEST_FULL)


def _is_cut(passage: Sequence[_Unit], unit: _Unit) -> bool:
    """Return whether the unit is too long for a passage, or prose that is too long with the heading before it."""
    if unit.role is _Role.PROSE and passage:
        return unit.end - passage[0].start > CAPACITY
    return unit.end - unit.start > CAPACITY


def _parted(passage: list[_Unit], unit: _Unit) -> tuple[list[_Unit], list[_Unit]]:
    """Return the units of a passage that ends before this unit, and those that the next one begins with.

    These are the headings at its end, which belong to the unit, or a last sentence, which both passages hold.
    """
    first = len(passage)
    while first and passage[first - 1].role.leads:
        first -= 1
    is_cuttable = unit.role is _Role.PROSE or unit.end - unit.start > CAPACITY
    room = CAPACITY // 2 if is_cuttable else CAPACITY - (unit.end - unit.start)
    if first < len(passage) and unit.start - passage[first].start > room:
        first = len(passage)  # a run of headings with nothing below them
    last = passage[-1]
    if (
        first == len(passage) > 1
        and last.role is unit.role is _Role.PROSE
        and last.end - last.start <= OVERLAP
        and unit.end - last.start <= CAPACITY
    ):
        return passage, [last]
    return passage[:first], passage[first:]


def _units(text: str, outline: Outline) -> Iterator[_Unit]:
    position = 0
    for span in outline.spans:
        yield from _paragraphs(text, position, span.start)
        if span.kind is SpanKind.TABLE:
            yield from _rows(text, outline, span)
        else:
            yield from _unit(text, span.start, span.end, _Role.HEADING if span.kind is SpanKind.HEADING else _Role.ITEM)
        position = span.end
    yield from _paragraphs(text, position, len(text))


def _paragraphs(text: str, start: int, end: int) -> Iterator[_Unit]:
    for paragraph in _PARAGRAPH.finditer(text, start, end):
        yield from _unit(text, paragraph.start(), paragraph.end(), _Role.PROSE)


def _rows(text: str, outline: Outline, span: Span) -> Iterator[_Unit]:
    position = span.start
    for number, (start, end) in enumerate(outline.table(span).rows):
        role = _Role.HEADER_ROW if number < span.level else _Role.ITEM
        if start - position > 1:
            yield from _unit(text, position, start, role)  # the line below the header of a Markdown table
        if end - start > CAPACITY:
            yield from _pieces_of_row(read_row(text, span, start, end), role)
        else:
            yield _Unit(start, end, role)
        position = end
    yield from _unit(text, position, span.end, _Role.ITEM)


def _pieces_of_row(row: Row, role: _Role) -> Iterator[_Unit]:
    """Cut a row that is longer than a passage between its cells; what stands between two belongs to the first."""
    start = position = row.start
    for end in (*(cell[0] for cell in row.cells[1:]), row.end):
        if end - start > CAPACITY and position > start:
            yield _Unit(start, position, role)
            start = position
        position = end
    yield _Unit(start, row.end, role)


def _unit(text: str, start: int, end: int, role: _Role) -> Iterator[_Unit]:
    piece = text[start:end]
    start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
    if start < end:
        yield _Unit(start, end, role)
