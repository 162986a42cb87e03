"""Cuts passages into the pieces that an answer may quote, each with the words it stands below."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from fastapi_ignite.rag.answers.passage import Passage
from fastapi_ignite.rag.extraction import Span, SpanKind
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.negation import is_negative_cell, negated_terms
from fastapi_ignite.rag.text.sentences import ENDS_SENTENCE, LONGEST
from fastapi_ignite.rag.text.tables import Row, cell_text

# Characters of a row that an answer says. Of a longer one it says the cells that the question asks for.
LONGEST_ROW: Final = 400
# A line without a point that is longer is a sentence whose author left the point out.
_LONGEST_TITLE: Final = 80

_IS_QUESTION: Final = re.compile(r"[?\uff1f\u061f][\"'\u201d\u2019)\]*_\s]*$")
# "Opening hours: 9 to 5", "Room 12": a line that holds a fact, though it is no sentence
_HOLDS_FACT: Final = re.compile(r"\w\s*[:=\u2013\uff1a]\s*\w|[^\W\d_][^\n]*\d")
# A heading with a number in it is often a title with its date, and one with a colon a title with its subtitle.
_HEADING_WITH_FACT: Final = re.compile(r"\w\s*[:=\uff1a]\s*[^\n]*\d")
_PRONOUN: Final = re.compile(r"(?:They|It|He|She|These|Those|Both)\b")
_BLANKS: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, a heading, a row of a table or a line of code, as `[start:end]` of its document.

    `said` is how an answer says it: a row with the names of its columns. `context` has the words it stands below, the
    nearest last: headings, the question that it answers, the line that a list belongs to. `leads` says that it is the
    first paragraph below them, or that list: it tells what they name. `quoted_from` is where a quote of it begins: the
    sentence before one that begins with "They" belongs to it. `is_title` tells a line of a plain text that stands above
    a paragraph and only names what that is about.
    """

    passage: Passage
    start: int
    end: int
    said: str
    kind: SpanKind | None = None
    context: tuple[str, ...] = ()
    cells: tuple[tuple[str, str], ...] = ()
    leads: bool = False
    quoted_from: int | None = None
    is_title: bool = False

    @property
    def text(self) -> str:
        return self.passage.between(self.start, self.end)

    @property
    def is_question(self) -> bool:
        return _IS_QUESTION.search(self.text) is not None

    @property
    def answers_question(self) -> bool:
        """Return whether it stands below a question."""
        return bool(self.context) and _IS_QUESTION.search(self.context[-1]) is not None

    @property
    def introduces(self) -> bool:
        """Return whether it is a line before a list, which says nothing without it."""
        return self.said.rstrip().endswith((":", "\uff1a"))

    @property
    def holds_statement(self) -> bool:
        """Return whether it says something, and does not only name a subject or ask."""
        if self.kind is SpanKind.TABLE:
            return True
        if self.is_question or self.introduces:
            return False
        fact = _HEADING_WITH_FACT if self.kind is SpanKind.HEADING else _HOLDS_FACT
        return (
            ENDS_SENTENCE.search(self.text) is not None
            or fact.search(self.text) is not None
            or (self.kind is not SpanKind.HEADING and bool(negated_terms(self.text)))
        )

    @property
    def negated(self) -> frozenset[str]:
        """Return the terms that it denies; a row denies the names of columns in which it says no."""
        if not self.cells:
            return negated_terms(self.text)
        # the first cell names the row: "NO" may be Norway
        denied = (name for name, words in self.cells[1:] if is_negative_cell(words))
        return frozenset(term for name in denied for term in analyze(name))


def pieces_of(passage: Passage) -> list[Piece]:
    """Return the pieces that touch the passage, in order, and behind it the answer to a question at its end.

    The header rows of tables are left out.
    """
    tables = [span for span in passage.spans if span.kind is SpanKind.TABLE]
    rows = [_row(passage, table, row) for table in tables for row in passage.rows(table)]
    window_end = passage.window_start + len(passage.window)
    window = replace(passage, char_start=passage.window_start, char_end=window_end)
    sentences = [
        Piece(passage, each.start, each.end, passage.between(each.start, each.end), each.kind)
        for each in window.pieces()
        if each.end > passage.char_start and (each.end < window_end or each.start < passage.char_end)
    ]
    prose = [piece for piece in sentences if piece.kind is not SpanKind.TABLE]
    found = list(_in_context(passage, sorted([*rows, *prose], key=lambda piece: piece.start)))
    return [*found, *_leading(found)]


def said_of_row(piece: Piece, wanted: frozenset[str]) -> str:
    """Return how an answer says a row: all its cells, or of a long row the first and those that are asked for."""
    if len(piece.said) <= LONGEST_ROW:
        return piece.said
    first, *others = piece.cells
    asked = [cell for cell in others if wanted & {*analyze(cell[0]), *analyze(cell[1])}]
    return _said([first, *asked])[:LONGEST_ROW]


def _in_context(passage: Passage, pieces: list[Piece]) -> Iterator[Piece]:
    """Yield the pieces with the words that they stand below; of those behind the passage only what answers it."""
    below: tuple[str, ...] = ()
    opening = 0
    for position, piece in enumerate(pieces):
        if below and (_ends_part(pieces[position - 1], piece) or not _reaches(opening, pieces, piece)):
            below = ()
        if piece.start >= passage.char_end and not below:
            return
        quoted_from = pieces[position - 1].start if position and _refers_back(pieces[position - 1], piece) else None
        yield replace(
            piece,
            context=(*passage.headings_at(piece.start), *below),
            quoted_from=quoted_from,
            is_title=_is_title(piece, pieces[position + 1 :]),
        )
        if piece.kind is not SpanKind.HEADING and _names_subject(piece, pieces[position + 1 :]):
            below, opening = (_BLANKS.sub(" ", piece.text).rstrip(" :"),), position


def _is_title(piece: Piece, following: list[Piece]) -> bool:
    return (
        not piece.holds_statement
        and _names_subject(piece, following)
        and bool(following)
        and ENDS_SENTENCE.search(following[0].text) is not None
        and "\n\n" in piece.passage.between(piece.end, following[0].start)
    )


def _refers_back(last: Piece, piece: Piece) -> bool:
    """Return whether a sentence speaks of what the one before it in its paragraph has named."""
    return (
        _PRONOUN.match(piece.text) is not None
        and last.kind is piece.kind is None
        and ENDS_SENTENCE.search(last.text) is not None
        and not last.is_question
        and "\n\n" not in piece.passage.between(last.end, piece.start)
        and piece.end - last.start <= LONGEST
    )


def _names_subject(piece: Piece, following: list[Piece]) -> bool:
    """Return whether a piece asks, or names the subject of what follows, where the format says nothing of headings."""
    if piece.is_question or piece.introduces:
        return True
    return (
        bool(following)
        and (piece.kind is None or _share_item(piece, following[0]))
        and piece.end - piece.start <= _LONGEST_TITLE
        and "\n" not in piece.text
        and ENDS_SENTENCE.search(piece.text) is None
        and _HOLDS_FACT.search(piece.text) is None
        and "\n" in piece.passage.between(piece.end, following[0].start)
    )


def _share_item(one: Piece, other: Piece) -> bool:
    """Return whether both are in one item of a list, as a term and its description are."""
    return any(
        span.kind is SpanKind.LIST_ITEM and span.start <= one.start and other.end <= span.end
        for span in one.passage.spans
    )


def _reaches(opening: int, pieces: list[Piece], piece: Piece) -> bool:
    """Return whether what a piece opens may reach another one: the description of a term ends with its item."""
    opened = pieces[opening]
    is_term = not opened.is_question and not opened.introduces and _share_item(opened, pieces[opening + 1])
    return not is_term or _share_item(opened, piece)


def _ends_part(last: Piece, piece: Piece) -> bool:
    """Return whether something else begins: a heading, another question, or a paragraph after the first one."""
    if piece.kind is SpanKind.HEADING or piece.is_question:
        return True
    if last.is_question or _names_subject(last, [piece]) or {last.kind, piece.kind} == {SpanKind.LIST_ITEM}:
        return False
    return "\n\n" in piece.passage.between(last.end, piece.start)


def _leading(pieces: list[Piece]) -> Iterator[Piece]:
    """Yield what stands directly below each heading, question and introduction, as far as a quote may reach."""
    for position, opening in enumerate(pieces):
        if opening.kind is not SpanKind.HEADING and not _names_subject(opening, pieces[position + 1 :]):
            continue
        first = last = None
        for piece in pieces[position + 1 :]:
            if piece.kind is SpanKind.TABLE or (last is not None and _ends_part(last, piece)):
                break
            if not _reaches(position, pieces, piece):
                break
            if piece.kind is SpanKind.HEADING or piece.is_question or piece.end - (first or piece).start > LONGEST:
                break
            first, last = first or piece, piece
        if first is not None and last is not None:
            said = first.passage.between(first.start, last.end)
            yield replace(first, end=last.end, said=said, leads=True)


def _row(passage: Passage, table: Span, row: Row) -> Piece:
    offset = passage.window_start
    names = passage.column_names(row.start)
    words = [cell_text(passage.window, (start - offset, end - offset), table.separator) for start, end in row.cells]
    cells = tuple((names[column] if column < len(names) else "", each) for column, each in enumerate(words) if each)
    return Piece(passage, row.start, row.end, _said(list(cells)), SpanKind.TABLE, cells=cells)


def _said(cells: list[tuple[str, str]]) -> str:
    """Return the cells with the names of their columns: "Plan: Plus; Price: 40 euros"."""
    return "; ".join(f"{name.rstrip(' :')}: {words}" if name else words for name, words in cells)
