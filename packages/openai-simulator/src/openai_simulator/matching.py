"""Scores a text by the share of the query's weighted words that it holds. The result is deterministic."""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import Stemmer

from openai_simulator.objects import StaticChunking

_TOKEN: Final = re.compile(r"\w+|[^\w\s]")
_WORD: Final = re.compile(r"\w+")
_SENTENCE: Final = re.compile(
    r"[^\s](?:(?!\n\s*\n|\n\s*[-*#|])[\s\S])*?(?:[.!?\u3002\uff01\uff1f]+[\"'\u201d\u2019)]*(?=\s|$)|(?=\n\s*(?:\n|[-*#|]))|$)"
)
_STOP_WORD_LIST: Final = """
a about an and any are as at be been by can could did do does for from had has have how i in is it its many
much my of on or our shall should than that the their them then there these they this those to us was we were
what when where which who whom whose why will with would you your
"""
_STOP_WORDS: Final = frozenset(_STOP_WORD_LIST.split())
# This many further texts are assumed, so that a word found in no text does not outweigh all others.
_PRIOR_TEXTS: Final = 20
_stemmers = threading.local()


@dataclass(frozen=True, slots=True)
class Span:
    """The part `text[start:end]` of a text."""

    start: int
    end: int


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text as its words and punctuation marks."""
    return sum(1 for _ in _TOKEN.finditer(text))


def cut_to_tokens(text: str, limit: int) -> str:
    """Return the first `limit` tokens of the text."""
    for number, token in enumerate(_TOKEN.finditer(text)):
        if number == limit:
            return text[: token.start()].rstrip()
    return text


def split_tokens(text: str) -> Iterator[str]:
    """Split a text into pieces of one token each. Joined, they are the text again."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token.start() > start:
            yield text[start : token.start()]
            start = token.start()
    if start < len(text):
        yield text[start:]


def chunk(text: str, sizes: StaticChunking) -> list[Span]:
    """Split a text into chunks of the given size and overlap."""
    tokens = [token.span() for token in _TOKEN.finditer(text)]
    step = max(1, sizes.max_chunk_size_tokens - sizes.chunk_overlap_tokens)
    spans = []
    for first in range(0, len(tokens), step):
        last = min(first + sizes.max_chunk_size_tokens, len(tokens)) - 1
        spans.append(Span(tokens[first][0], tokens[last][1]))
        if last == len(tokens) - 1:
            break
    return spans


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, verbatim and in order. A heading or list item is one sentence."""
    found = (match.group().rstrip() for match in _SENTENCE.finditer(text))
    return [sentence for sentence in found if _WORD.search(sentence)]


@lru_cache(maxsize=4096)
def terms(text: str) -> frozenset[str]:
    """Return the stems of all words that are no stop words."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return frozenset(_stem(word) for word in words if word not in _STOP_WORDS)


class Query:
    """A query whose words weigh the more, the fewer of the given texts hold them."""

    def __init__(self, text: str, texts: Iterable[str]) -> None:
        wanted = terms(text)
        known = [terms(each) & wanted for each in texts]
        frequencies = Counter(term for held in known for term in held)
        total = len(known) + _PRIOR_TEXTS
        self._weights = {term: math.log(1 + total / (1 + frequencies[term])) for term in wanted}
        self._sum = sum(self._weights.values())

    def score(self, text: str) -> float:
        """Return the weighted share of the query's words that the text holds, from 0 to 1."""
        if not self._sum:
            return 0.0
        held = terms(text) & self._weights.keys()
        return round(sum(self._weights[term] for term in sorted(held)) / self._sum, 6)


def _stem(word: str) -> str:
    if not word.isascii():
        return word
    if not hasattr(_stemmers, "english"):
        _stemmers.english = Stemmer.Stemmer("english")  # one for each thread: its cache has no lock
    stem: str = _stemmers.english.stemWord(word)
    return stem
