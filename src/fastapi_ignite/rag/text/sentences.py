"""Splits text into quotable pieces: sentences of prose, items of lists, rows of tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi_ignite.rag.text.analysis import word_list

SHORTEST = 10
LONGEST = 500
# A line at least this long was broken by the page's width, not by its author.
_FILLED_LINE = 55

_WORD = re.compile(r"[^\W_]")
_LINE = re.compile(r"[^\n]+")
_HEADING = re.compile(r"\s*#{1,6}\s")
_TABLE_ROW = re.compile(r"\s*\|")
_LIST_ITEM = re.compile(r"\s*(?:[-*+\u2022\u25aa\u25cf\u2023]\s|\(?(?:\d{1,3}|[a-z]|[ivx]{1,4})[.)]\s)")
# A run is tried once, from its beginning and as a whole: a document may hold thousands of points in a row.
_SENTENCE_END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019)\]]*+(?=\s+[\"'\u201c\u2018(\[]*[^\W_a-z])|[\u3002\uff01\uff1f]+[\u300d\u300f\uff09]*|[\u0964\u061f](?=\s)"
)
# what a whole sentence ends with, a heading does not
ENDS_SENTENCE = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u0964\u061f][\"'\u201d\u2019)\]\u300d\u300f\uff09]*\s*$")
_ABBREVIATIONS = word_list(
    "mr mrs ms dr prof st sr jr inc ltd co corp llc plc bros dept est no nos vol pp fig figs eq sec ch art al vs "
    "etc eg ie cf ca approx resp jan feb mar apr jun jul aug sep sept oct nov dec gen col sgt capt lt gov sen rep "
    "rev hon ave blvd rd mt ft bldg"
)
_INITIALS = re.compile(r"[(\"'\u201c\u2018\[]*(?:[^\W\d_]\.)+")
_SOFT_BREAKS = ("\n", "; ", ": ", ", ", " ")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A stretch of a text, without blanks around it. The offsets count code points of the text."""

    start: int
    end: int


def split_sentences(text: str) -> list[Sentence]:
    """Return the sentences in order. Headings, rules and pieces under 10 characters are left out."""
    return [
        piece
        for start, end in _blocks(text)
        for piece in _bounded(text, _merge_short(list(_sentences(text, start, end))))
        if piece.end - piece.start >= SHORTEST and _WORD.search(text, piece.start, piece.end)
    ]


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield runs of lines that continue each other. A row, an item or a short line is a run of its own."""
    start = end = -1
    last = ""
    in_table = False
    for line in _LINE.finditer(text):
        content = line.group()
        if start >= 0 and not in_table and line.start() - end == 1 and _continues(last, content):
            end, last = line.end(), content
            continue
        if start >= 0:
            yield start, end
        start, end = (-1, -1) if _HEADING.match(content) or not content.strip() else line.span()
        last, in_table = content, _TABLE_ROW.match(content) is not None
    if start >= 0:
        yield start, end


def _continues(last: str, line: str) -> bool:
    if any(pattern.match(line) for pattern in (_HEADING, _TABLE_ROW, _LIST_ITEM)):
        return False
    first, length = line.lstrip()[:1], len(last.strip())
    return bool(first) and (length >= _FILLED_LINE or (first.islower() and length >= _FILLED_LINE // 2))


def _sentences(text: str, start: int, end: int) -> Iterator[Sentence]:
    begin = start
    for match in _SENTENCE_END.finditer(text, start, end):
        if match.end() < end and not _is_abbreviation(text, begin, match.start() + 1):
            yield from _trimmed(text, begin, match.end())
            begin = match.end()
    yield from _trimmed(text, begin, end)


def _is_abbreviation(text: str, begin: int, end: int) -> bool:
    """Return whether the point at the end belongs to an abbreviation such as "U.S.", "J." or "Inc."."""
    if text[end - 1] != ".":
        return False
    start = end
    # not a search of all before it: a sentence may hold thousands of abbreviations
    while start > begin and not text[start - 1].isspace():
        start -= 1
    word = text[start:end]
    return _INITIALS.fullmatch(word) is not None or word.strip("(\"'\u201c\u2018[.").lower() in _ABBREVIATIONS


def _trimmed(text: str, start: int, end: int) -> Iterator[Sentence]:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    right = end - len(piece) + len(piece.rstrip())
    if left < right:
        yield Sentence(left, right)


def _merge_short(sentences: list[Sentence]) -> list[Sentence]:
    """Join short sentences with their neighbours, so that a "Yes." is not quoted alone."""
    merged: list[Sentence] = []
    for sentence in sentences:
        if merged and min(merged[-1].end - merged[-1].start, sentence.end - sentence.start) < SHORTEST:
            merged[-1] = Sentence(merged[-1].start, sentence.end)
        else:
            merged.append(sentence)
    return merged


def _bounded(text: str, sentences: list[Sentence]) -> Iterator[Sentence]:
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
