"""Splits text into terms: stems of words in any script, and numbers. Documents and questions are read alike.

Stored chunks hold the terms of the version that they were indexed with: a change here is seen by documents that are
uploaded later (docs/adr has the decision). The words are put into one spelling by `spelling.py`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import lru_cache

import Stemmer

from fastapi_ignite.rag.text.names import named_question_words, named_stop_words
from fastapi_ignite.rag.text.numbers import NUMBER, number_terms
from fastapi_ignite.rag.text.spelling import MARKS, normalize
from fastapi_ignite.rag.text.words import QUESTION_WORDS, STOP_WORDS

# scripts written without blanks between words, Hangul included because its particles stick to the noun
_UNSPACED = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3\u1100-\u11ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTERS = rf"(?:[^\W_]|[{MARKS}])"
_ACRONYM = re.compile(r"(?:[^\W\d_]\.){2,}")
# the plain word first: nine tokens of ten are found without trying the rest
_PLAIN_WORD = rf"[^\W\d_]++(?![\w.{MARKS}])"
_SPACED_TEXT = re.compile(rf"{_PLAIN_WORD}|{NUMBER.pattern}|{_ACRONYM.pattern}|{_LETTERS}+")
_ANY_TEXT = re.compile(rf"{NUMBER.pattern}|{_ACRONYM.pattern}|[{_UNSPACED}]+|(?:(?![{_UNSPACED}]){_LETTERS})+")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")

# "10-K", "COVID-19", "F-16": one name, written with and without its hyphen
_HYPHENATED_NAME = re.compile(r"\b(?:[^\W\d_]{1,8}-\d{1,8}|\d{1,4}-[^\W\d_])\b")
# "main-" and "tenance", on the next line or page or in one line: the joined word is a term beside its parts. What is
# before the hyphen is looked at last, so that the search goes from hyphen to hyphen.
_HYPHEN = re.compile(r"-(?:\n{1,2}[ \t]{0,40})?([^\W\d_]{1,40})(?![\w-])")
_WORD_BEFORE = re.compile(r"(?<![\w-])[^\W\d_]{1,40}\Z")
_BEFORE = 42
# "FY2022" is asked for where documents say "fiscal year 2022"
_YEAR_SUFFIX = re.compile(r"[a-z]{1,6}((?:19|20)\d\d)")

_LONGEST_KNOWN = 32
_thread = threading.local()


def analyze(text: str) -> list[str]:
    """Return the terms of a text in order, with repetitions."""
    normal = normalize(text)
    terms = [term for token in (*_tokens(normal), *_joined_words(normal)) for term in _terms(token)]
    return terms + named_stop_words(text)


def question_terms(question: str) -> list[str]:
    """Return the distinct terms of a question. One that has only question words keeps them ("The Who").

    A question word is a term where it is written as a name: "in May", "the WHO". Words with a hyphen are not joined,
    because a term that no document holds would count against an answer.
    """
    tokens = _tokens(normalize(question))
    content = [token for token in tokens if token not in QUESTION_WORDS]
    terms = [term for token in content for term in _terms(token)]
    terms += map(_stem, named_question_words(question))
    terms += named_stop_words(question)
    return list(dict.fromkeys(terms or [term for token in tokens for term in _terms(token)]))


def _tokens(normal: str) -> list[str]:
    pattern = _ANY_TEXT if _HAS_UNSPACED.search(normal) else _SPACED_TEXT
    names = (name.replace("-", "") for name in _HYPHENATED_NAME.findall(normal)) if "-" in normal else ()
    return [*pattern.findall(normal), *names]


def _joined_words(normal: str) -> Iterator[str]:
    if "-" not in normal:
        return
    for match in _HYPHEN.finditer(normal):
        start = max(match.start() - _BEFORE, 0)
        if before := _WORD_BEFORE.search(normal[start : match.start()]):
            yield before.group() + match[1]


def _terms(token: str) -> tuple[str, ...]:
    # long runs seldom come twice and would fill the memory
    return _known_terms(token) if len(token) <= _LONGEST_KNOWN else _known_terms.__wrapped__(token)


@lru_cache(maxsize=1 << 16)
def _known_terms(token: str) -> tuple[str, ...]:
    if NUMBER.fullmatch(token):
        return tuple(number_terms(token))
    if _HAS_UNSPACED.match(token):
        return tuple(_bigrams(token))
    if token in STOP_WORDS:
        return ()
    word = token.replace(".", "")
    year = _YEAR_SUFFIX.fullmatch(word)
    return (_stem(word), *year.groups()) if year else (_stem(word),)


def _bigrams(run: str) -> Iterator[str]:
    """Yield overlapping pairs, and each ideograph alone too, since one can be a word."""
    if len(run) == 1:
        yield run
        return
    for position in range(len(run) - 1):
        yield run[position : position + 2]
    yield from _IDEOGRAPHS.findall(run)


def _stem(word: str) -> str:
    if not (word.isascii() and word.isalpha()):
        return word
    if not hasattr(_thread, "stemmer"):
        # its cache has no lock
        _thread.stemmer = Stemmer.Stemmer("english")
    stem: str = _thread.stemmer.stemWord(word)
    return stem
