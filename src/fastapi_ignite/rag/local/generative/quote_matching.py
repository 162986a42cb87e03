"""Finds the words that a model claims to have copied where they stand in a passage."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.sentences import SHORTEST, split_sentences

# What models write otherwise than the text they copy: typographic marks, and emphasis that they drop or add.
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("*_\u00ad\u200b\u200c\u200d\u2060\ufeff"),
    }
)
# "... of water [...] a minute", and "of water", "a minute"
_GAP = re.compile(r"[(\[]?(?:\.\.\.|\u2026)[)\]]?|[\"'\u201d\u2019]\s{0,3}(?:[,;&]|and)\s{0,3}[\"'\u201c\u2018]")
_TRAILING = " .,;:\u2026"


class Source:
    """A passage that is searched word for word, and then without regard to spacing, case and typographic marks."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        normalized = list(_normalized(passage.text))
        self._text = "".join(character for character, _ in normalized)
        self._offsets = [offset for _, offset in normalized]

    def find(self, words: str) -> Quote | None:
        """Return the quote with these words; for very few words, the quote is the sentence around them."""
        span = self._exact(words) or self._alike(words)
        if span is not None and span[1] - span[0] < SHORTEST:
            span = self._sentence_around(*span)
        if span is None:
            return None
        return self._passage.quote(self._passage.char_start + span[0], self._passage.char_start + span[1])

    def _exact(self, words: str) -> tuple[int, int] | None:
        start = self._passage.text.find(words)
        return None if start < 0 else (start, start + len(words))

    def _alike(self, words: str) -> tuple[int, int] | None:
        wanted = "".join(character for character, _ in _normalized(words)).strip(_TRAILING)
        start = self._text.find(wanted) if wanted else -1
        return None if start < 0 else (self._offsets[start], self._offsets[start + len(wanted) - 1] + 1)

    def _sentence_around(self, start: int, end: int) -> tuple[int, int] | None:
        around = (
            (sentence.start, sentence.end)
            for sentence in split_sentences(self._passage.text)
            if sentence.start <= start and end <= sentence.end
        )
        return next(around, None)


def locate(words: str, number: int, sources: Sequence[Source]) -> list[Quote]:
    """Find the words in the passage with this number, or else in another: models often mix up the numbers.

    Words with a gap, or several quotes in one, are searched for in pieces.
    """
    if whole := _locate(words, number, sources):
        return [whole]
    found = [_locate(piece, number, sources) for piece in _GAP.split(words) if len(piece) >= SHORTEST]
    return [quote for quote in found if quote is not None]


def _locate(words: str, number: int, sources: Sequence[Source]) -> Quote | None:
    words = words.strip()
    if not analyze(words):
        return None  # words that stand in any text prove nothing
    named = [sources[number - 1]] if 0 < number <= len(sources) else []
    found = (source.find(words) for source in [*named, *sources])
    return next((quote for quote in found if quote is not None), None)


def _normalized(text: str) -> Iterator[tuple[str, int]]:
    """Yield the characters in the form in which they are compared, each with its offset in the text."""
    after_blank = False
    for offset, character in enumerate(text):
        if character.isspace():
            if not after_blank:
                yield " ", offset
            after_blank = True
            continue
        for part in unicodedata.normalize("NFKD", character.translate(_ALIKE)).casefold():
            yield part, offset
            after_blank = False
