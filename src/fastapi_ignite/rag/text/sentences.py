"""Splits text into quotable pieces: sentences of prose, headings, items of lists, rows of tables, lines of code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fastapi_ignite.rag.extraction.structure import Span, SpanKind
from fastapi_ignite.rag.text.abbreviations import is_abbreviation
from fastapi_ignite.rag.text.tables import table_rows

# A shorter sentence is joined with its neighbour in the same paragraph.
SHORTEST: Final = 10
LONGEST: Final = 500
# A line at least this long was broken by the page's width, not by its author.
_FILLED_LINE: Final = 55

_IDEOGRAPH: Final = (
    "\u0e01-\u0e2e\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_WIDE: Final = re.compile(f"[{_IDEOGRAPH}]")
# two letters or digits say something, and so does one ideograph; a letter or a digit alone does not
_WORDS: Final = re.compile(rf"(?=\w)[{_IDEOGRAPH}]|[^\W_][\W_]*[^\W_]")
_LINE: Final = re.compile(r"[^\n]+")
# of these a text may hold many that no span tells of: comments and headings, rows, items
_LINE_OF_ITS_OWN: Final = re.compile(r"\s*(?:\||#|//)")
_LIST_ITEM: Final = re.compile(r"\s*(?:[-*+\u2022\u25aa\u25cf\u2023\u2013]\s|\(?(?:\d{1,3}|[a-z]|[ivx]{1,4})[.)]\s)")
# "suspen-" and "sion" on the next line
_DIVIDED_WORD: Final = re.compile(r"[^\W\d_][-\u2010\u00ad]\s*$")
_REST_OF_WORD: Final = re.compile(r"\s*[^\W\dA-Z_]")
_OPENING: Final = "\"'\u201c\u2018\u201e\u201a\u00ab\u2039\u00bf\u00a1(\\["
_CLOSING: Final = "\"'\u201d\u2019\u201c\u00bb\u203a)\\]"
# A run is tried once, from its beginning and as a whole: a document may hold thousands of points in a row.
_SENTENCE_END: Final = re.compile(
    rf"(?<![.!?\u2026])[.!?\u2026]++[{_CLOSING}]*+(?:[ \u00a0\u202f]\u00bb)?+"
    rf"(?=\s+[{_OPENING}\u00a0\u202f]*([^\W_a-z]))"
    r"|[\u3002\uff01\uff1f\uff61]+[\u300d\u300f\uff09\u201d\u2019]*"
    r"|[\u0964\u0965\u061f\u06d4\u17d4\u104b\u1362\u0589](?=\s)"
)
# "Name ........ Petra": the points lead to what follows
_LEADER: Final = re.compile(r"[.\u2026]+")
# Thai and Lao set sentences off by blanks, but parts of sentences too: a shorter piece goes on.
_BLANK_IN_THAI: Final = re.compile(r"(?<=[\u0e00-\u0eff])[ ](?=[\u0e00-\u0eff])")
_WITHOUT_POINTS: Final = re.compile(f"(?:{_BLANK_IN_THAI.pattern})|{_SENTENCE_END.pattern}")
_LONG_WITHOUT_POINT: Final = 60
# what a whole sentence ends with, a heading does not
ENDS_SENTENCE: Final = re.compile(
    rf"[.!?\u2026\u3002\uff01\uff1f\uff61\u0964\u0965\u061f\u06d4\u17d4\u104b\u1362\u0589]"
    rf"[{_CLOSING}\u300d\u300f\uff09\u00a0\u202f]*\s*$"
)
_HEADING_MARKS: Final = re.compile(r"\s*#{1,6}\s+")
_SOFT_BREAKS: Final = ("\n", "\t", "; ", ": ", ", ", ";", " ")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A stretch of a text, without blanks around it. The offsets count code points of the text.

    `kind` is that of the span that it stands in, or None for prose. `is_header` tells the header rows of a table.
    """

    start: int
    end: int
    kind: SpanKind | None = None
    is_header: bool = False


def split_sentences(text: str, spans: Sequence[Span] = (), page_starts: Sequence[int] = ()) -> list[Sentence]:
    """Return the sentences in order. What has less than two letters or digits is left out.

    `spans` are in the order of their starts: a heading is one piece, and so is a row of a table and a line of code,
    unless it is longer than 500 characters. A sentence goes on over an empty line where one of `page_starts` follows.
    """
    pieces = _prose(text, 0, len(text), page_starts) if not spans else _structured(text, spans, page_starts)
    return [piece for piece in pieces if _WORDS.search(text, piece.start, piece.end)]


def _structured(text: str, spans: Sequence[Span], page_starts: Sequence[int]) -> Iterator[Sentence]:
    position = 0
    for span in spans:
        if not position <= span.start < span.end <= len(text):
            continue
        yield from _prose(text, position, span.start, page_starts)
        yield from _pieces(text, span)
        position = span.end
    yield from _prose(text, position, len(text), page_starts)


def _pieces(text: str, span: Span) -> Iterator[Sentence]:
    match span.kind:
        case SpanKind.LIST_ITEM:
            found = _prose(text, span.start, span.end)
        case SpanKind.TABLE:
            for number, row in enumerate(table_rows(text, span)):
                for piece in _bounded(text, _trimmed(text, row.start, row.end)):
                    yield replace(piece, kind=span.kind, is_header=number < span.level)
            return
        case SpanKind.CODE:
            lines = _LINE.finditer(text, span.start, span.end)
            found = (piece for line in lines for piece in _bounded(text, _trimmed(text, *line.span())))
        case SpanKind.HEADING:
            marks = _HEADING_MARKS.match(text, span.start, span.end)
            found = _bounded(text, _trimmed(text, marks.end() if marks else span.start, span.end))
    for piece in found:
        yield replace(piece, kind=span.kind)


def _prose(text: str, start: int, end: int, page_starts: Sequence[int] = ()) -> Iterator[Sentence]:
    for first, last in _blocks(text, start, end, frozenset(page_starts)):
        yield from _bounded(text, _merge_short(text, list(_sentences(text, first, last))))


def _blocks(text: str, begin: int, stop: int, page_starts: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Yield runs of lines that continue each other. A row, an item or a short line is a run of its own."""
    start = end = -1
    last = ""
    for line in _LINE.finditer(text, begin, stop):
        content = line.group()
        follows = line.start() - end == 1 or (line.start() in page_starts and not ENDS_SENTENCE.search(last))
        if start >= 0 and follows and _continues(last, content):
            end, last = line.end(), content
            continue
        if start >= 0:
            yield start, end
        start, end = line.span() if content.strip() else (-1, -1)
        last = content
    if start >= 0:
        yield start, end


def _continues(last: str, line: str) -> bool:
    if _LINE_OF_ITS_OWN.match(last) or _LINE_OF_ITS_OWN.match(line) or _LIST_ITEM.match(line):
        return False
    if _DIVIDED_WORD.search(last) and _REST_OF_WORD.match(line):
        return True
    first, width = line.lstrip()[:1], _width(last.strip())
    return bool(first) and (width >= _FILLED_LINE or (first.islower() and width >= _FILLED_LINE // 2))


def _width(line: str) -> int:
    """Return the width of a line in letters; an ideograph is as wide as two."""
    return len(line) if line.isascii() else len(line) + len(_WIDE.findall(line))


def _sentences(text: str, start: int, end: int) -> Iterator[Sentence]:
    begin = start
    pattern = _WITHOUT_POINTS if _BLANK_IN_THAI.search(text, start, end) else _SENTENCE_END
    for match in pattern.finditer(text, start, end):
        if match.end() < end and _ends(text, begin, match):
            yield from _trimmed(text, begin, match.end())
            begin = match.end()
    yield from _trimmed(text, begin, end)


def _ends(text: str, begin: int, match: re.Match[str]) -> bool:
    if match.group() == " ":
        return match.start() - begin >= _LONG_WITHOUT_POINT
    if _LEADER.fullmatch(match.group()) and text[match.start() - 1].isspace():
        return False
    next_letter = match[1]
    return not (next_letter and next_letter.islower()) and not is_abbreviation(text, begin, match.start() + 1)


def _trimmed(text: str, start: int, end: int) -> list[Sentence]:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    right = end - len(piece) + len(piece.rstrip())
    return [Sentence(left, right)] if left < right else []


def _merge_short(text: str, sentences: list[Sentence]) -> list[Sentence]:
    """Join short sentences with their neighbours, so that a "Yes." is not quoted alone."""
    merged: list[Sentence] = []
    last_is_short = False
    for sentence in sentences:
        is_short = _is_short(text, sentence.start, sentence.end)
        if merged and (is_short or last_is_short):
            last_is_short = _is_short(text, merged[-1].start, sentence.end)
            merged[-1] = Sentence(merged[-1].start, sentence.end)
        else:
            merged.append(sentence)
            last_is_short = is_short
    return merged


def _is_short(text: str, start: int, end: int) -> bool:
    """Return whether a sentence says too little alone; an ideograph says as much as two letters."""
    return end - start < SHORTEST and _width(text[start:end]) < SHORTEST


def _bounded(text: str, sentences: Sequence[Sentence]) -> Iterator[Sentence]:
    """Cut what is longer than 500 characters where a reader would pause in its second half, if anywhere."""
    for sentence in sentences:
        start = sentence.start
        while sentence.end - start > LONGEST:
            cut = _pause(text, start)
            yield from _trimmed(text, start, cut)
            start = cut
        yield from _trimmed(text, start, sentence.end)


def _pause(text: str, start: int) -> int:
    for mark in _SOFT_BREAKS:
        position = text.rfind(mark, start + LONGEST // 2, start + LONGEST)
        if position >= 0:
            return position + len(mark)
    return start + LONGEST
