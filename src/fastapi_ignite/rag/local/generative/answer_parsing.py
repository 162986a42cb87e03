"""Takes a model's output apart: the answer without its marks, and the quotes that stand in the passages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi_ignite.rag.answers.alignment import Statement, align
from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.local.answerer import Draft
from fastapi_ignite.rag.local.generative.prompt import NO_ANSWER
from fastapi_ignite.rag.local.generative.quote_matching import Source, locate
from fastapi_ignite.rag.text.sentences import split_sentences

MOST_QUOTES = 10
MOST_MARKS = 100
LONGEST_QUOTE = 1200
# a longer stretch is no mark: its numbers, and the longest quote
LONGEST_MARK = LONGEST_QUOTE + 300
# how far back the statement before a mark may begin
_REACH = 1000
_OPENING, _CLOSING = "\"'\u2018\u201c\u201e\u00ab\u2039\u300c\u300e", "\"'\u2019\u201c\u201d\u00bb\u203a\u300d\u300f"
# not beyond the next mark, where this one was not closed
_WORDS = rf"(?:(?![\[\u3010]\s{{0,3}}\d{{1,3}}\s{{0,3}}:?\s{{0,3}}[{_OPENING}])[^\0]){{1,{LONGEST_QUOTE}}}?"
_BARE_WORDS = rf"[^\[\]\u3010\u3011]{{1,{LONGEST_QUOTE}}}"
_SEPARATOR = r"\s{0,3}[:,;|=\u2013\u2014\u2020-]\s{0,3}"
# Small models vary the mark: [2], [1, 3], [2]: "...", [Passage 2 - "..."], without quotation marks, cut at the end.
# Everything that repeats is bounded: a model may write anything.
_NUMBERS = r"""
    [\[\u3010]\s{0,3}
    (?:(?:passages?|sources?|quotes?)\s{0,3})?\#?
    (?P<number>\d{1,3})(?P<more>(?:\s{0,3}[,;&]\s{0,3}\d{1,3}){0,20})
"""
_MARK = re.compile(
    rf"""
    {_NUMBERS}
    (?:
        (?:{_SEPARATOR}|\s{{0,3}})[{_OPENING}](?P<quoted>{_WORDS})[{_CLOSING}]\s{{0,3}}[\]\u3011]
        | {_SEPARATOR}(?P<bare>{_BARE_WORDS})[\]\u3011]
        | \s{{0,3}}[\]\u3011]\s{{0,3}}[:(]\s{{0,3}}["\u201c](?P<behind>{_WORDS})["\u201d]\)?
        | \s{{0,3}}[\]\u3011]
        | {_SEPARATOR}(?:{_BARE_WORDS})?\Z
        | \s{{0,3}}\Z
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_DECLINES = re.compile(r"[\W_]*(?:(?i:no[_-]?answer)\b|NO ANSWER\b|(?i:no answer)\W*\Z)")
_MAY_DECLINE = re.compile(r"[\W_]*.{0,11}", re.DOTALL)
_DECLINING_WORD = re.compile(rf"\b{NO_ANSWER}\b", re.IGNORECASE)


_OPENS = re.compile(r"[\[\u3010]")
# of a mark that is still being written: what it may be, and the most characters after which that is decided
_MAY_OPEN = re.compile(
    rf"{_NUMBERS}\s{{0,3}}(?:[:,;&|=\u2013\u2014\u2020\-\]\u3011{_OPENING}]|\Z)", re.VERBOSE | re.IGNORECASE
)
_LONGEST_OPENING = 20
_MAY_QUOTE_BEHIND = re.compile(r"\s{0,3}(?:[:(]\s{0,3}(?:[\"\u201c]|\Z)|\Z)")


@dataclass(frozen=True, slots=True)
class _Cited:
    """A mark in the output: the passage it cites, the words it quotes, and the length and end of the text before it."""

    number: int
    words: str
    length: int
    before: str

    @property
    def statement(self) -> str:
        """Return the sentence before the mark."""
        sentences = split_sentences(self.before)
        return self.before[sentences[-1].start : sentences[-1].end] if sentences else self.before


class AnswerReader:
    """Reads a model's output about these passages, while it is written and when it is whole."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._sources = [Source(passage) for passage in passages]
        self._located: dict[tuple[int, str], list[Quote]] = {}

    def read(self, output: str, *, truncated: bool) -> Draft:
        """Read the whole output. Without a true quote, the answer cites sentences that say the same, or refuses."""
        text, cited = _without_marks(output)
        text = text.strip()
        if _DECLINES.match(text):
            return Draft()
        quotes = self._quotes(cited)
        declined = _DECLINING_WORD.search(text) is not None
        text = _DECLINING_WORD.sub("", text).strip()
        if quotes:
            return Draft(quotes, text or None, truncated)
        if declined or not text:
            return Draft(truncated=truncated)
        numbered = [(str(number), passage) for number, passage in enumerate(self._passages, start=1)]
        statements = list(_statements(text, cited, len(self._passages)))
        return Draft(align(statements, numbered, trust_named_source=False), text, truncated)

    def read_beginning(self, output: str) -> Draft:
        """Read an output that is still being written: its true quotes, and the text before the last of them.

        Whatever comes, the text of the whole output will begin with that text.
        """
        text, cited = _without_marks(output[: _decided(output)])
        supported = max((mark.length for mark in cited if self._locate(mark)), default=0)
        text = text[:supported].strip()
        if _DECLINES.match(text) or _MAY_DECLINE.fullmatch(text):
            return Draft(complete=False)
        return Draft(self._quotes(cited), _DECLINING_WORD.sub("", text).strip(), complete=False)

    def _quotes(self, cited: Sequence[_Cited]) -> list[Quote]:
        return _distinct(quote for mark in cited for quote in self._locate(mark))

    def _locate(self, mark: _Cited) -> list[Quote]:
        known = self._located.get((mark.number, mark.words))
        if known is None:
            known = self._located[mark.number, mark.words] = locate(mark.words, mark.number, self._sources)
        return known


def _decided(output: str) -> int:
    """Return the length of the beginning that nothing written later can change the meaning of."""
    decided = position = 0
    limit = len(output)
    while (opening := _OPENS.search(output, position)) is not None:
        start = position = opening.start()
        mark = _MARK.match(output, start)
        if mark is not None and _is_whole(mark):
            decided = position = mark.end()
        elif limit - start <= LONGEST_MARK and (mark is not None or _may_open(output, start)):
            limit = start
            break
        else:
            position += 1
    # whole words, and not the blanks behind them, which a mark on the next line takes along
    blank = max((output.rfind(character, 0, limit) for character in " \n\t"), default=-1)
    return max(decided, blank)


def _is_whole(mark: re.Match[str]) -> bool:
    """Return whether the mark is complete, so that no further text can belong to it."""
    if mark["quoted"]:
        return True
    if mark["bare"]:
        return mark["bare"].lstrip()[:1] not in _OPENING
    if mark["behind"]:
        return mark.end() < len(mark.string)
    return mark.group()[-1] in "]\u3011" and _MAY_QUOTE_BEHIND.match(mark.string, mark.end()) is None


def _may_open(output: str, start: int) -> bool:
    return len(output) - start <= _LONGEST_OPENING or _MAY_OPEN.match(output, start) is not None


def _without_marks(output: str) -> tuple[str, list[_Cited]]:
    parts: list[str] = []
    cited: list[_Cited] = []
    end = length = 0
    for mark in _MARK.finditer(output):
        parts.append(_without_blanks(output[end : mark.start()]))
        length += len(parts[-1])
        end = mark.end()
        if len(cited) >= MOST_MARKS:
            continue
        before = "".join(parts[-MOST_MARKS:])[-_REACH:]
        words = mark["quoted"] or mark["bare"] or mark["behind"] or ""
        cited.append(_Cited(int(mark["number"]), words, length, before))
        cited += [_Cited(int(number), "", length, before) for number in re.findall(r"\d+", mark["more"])]
    parts.append(output[end:])
    return "".join(parts), cited


def _without_blanks(before_mark: str) -> str:
    """Remove the blanks before a mark, and the line break before a mark on a line of its own."""
    stripped = before_mark.rstrip(" \t")
    return stripped[:-1].rstrip(" \t") if stripped.endswith("\n") else stripped


def _statements(text: str, cited: Sequence[_Cited], passages: int) -> Iterator[Statement]:
    for mark in cited:
        yield Statement(mark.statement, str(mark.number) if 0 < mark.number <= passages else None)
    if not cited:
        for sentence in split_sentences(text):
            yield Statement(text[sentence.start : sentence.end], None)


def _distinct(found: Iterator[Quote]) -> list[Quote]:
    """Return the quotes in the order of the answer, without those that lie within another."""
    chosen: list[Quote] = []
    for quote in found:
        if any(_within(quote, other) for other in chosen):
            continue
        chosen = [other for other in chosen if not _within(other, quote)]
        chosen.append(quote)
    return chosen[:MOST_QUOTES]


def _within(one: Quote, other: Quote) -> bool:
    return (
        one.document_id == other.document_id and other.char_start <= one.char_start and one.char_end <= other.char_end
    )
