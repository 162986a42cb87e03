"""Splits text into terms: stems of words in any script, and numbers. Documents and questions are read alike."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import Stemmer


def word_list(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Lucene's English list: words that carry nothing in either place
STOP_WORDS = word_list(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they "
    "this to was will with"
)
# Words that ask. They say nothing about what a document holds, and in a small project, where they are absent, their
# IDF would be the highest of all. Those of other languages are here when no English content word is spelled alike.
QUESTION_WORDS = word_list(
    "what which who whom whose when where why how do does did done has have had can could would should may might "
    "must shall am were been being i me my we our you your he she his her its many much any some please tell "
    "about from than also que quien quienes cual cuales como donde cuando cuanto cuantos cuanta cuantas por quel "
    "quelle quels quelles quoi pourquoi quand combien est wer wie wo wann warum welche welcher welches wieviel "
    "quale quali quando dove perche quanto quanti qual quais quem onde"
)

# scripts written without blanks between words, Hangul included because its particles stick to the noun
_UNSPACED = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3\u1100-\u11ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# vowel signs and points, which Python's \w leaves out although they stand inside words
_MARKS = (
    "\u0483-\u0487\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a"
    "\u0900-\u0963\u0966-\u0dff\u0f18-\u0fbc"
)
_LETTERS = rf"(?:[^\W_]|[{_MARKS}])"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?![^\W_])")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.){2,}")
# the plain word first: nine tokens of ten are found without trying the rest
_PLAIN_WORD = rf"[^\W\d_]++(?![\w.{_MARKS}])"
_SPACED_TEXT = re.compile(rf"{_PLAIN_WORD}|{_NUMBER.pattern}|{_ACRONYM.pattern}|{_LETTERS}+")
_ANY_TEXT = re.compile(rf"{_NUMBER.pattern}|{_ACRONYM.pattern}|[{_UNSPACED}]+|(?:(?![{_UNSPACED}]){_LETTERS})+")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")

_POSSESSIVE = re.compile(r"['\u2019]s\b")
_FRACTION_AFTER_DIGIT = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])")
_LATIN_ACCENTS = re.compile("[\u0300-\u036f]")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
# "10-K", "COVID-19", "F-16": one name, written with and without its hyphen
_HYPHENATED_NAME = re.compile(r"\b(?:[^\W\d_]{1,8}-\d{1,4}|\d{1,4}-[^\W\d_])\b")
# "FY2022" is asked for where documents say "fiscal year 2022"
_YEAR_SUFFIX = re.compile(r"[a-z]{1,6}((?:19|20)\d\d)")

_LONGEST_KNOWN = 32
# Python orders a run of marks in time quadratic in its length.
_STRETCH = re.compile(r".{1,4096}(?!\S)|.{1,4096}", re.DOTALL)

_thread = threading.local()


def analyze(text: str) -> list[str]:
    """Return the terms of a text in order, with repetitions."""
    return [term for token in _tokens(text) for term in _terms(token)]


def question_terms(question: str) -> list[str]:
    """Return the distinct terms of a question. One that has only question words keeps them ("The Who")."""
    tokens = _tokens(question)
    content = [token for token in tokens if token not in QUESTION_WORDS]
    return list(dict.fromkeys(term for token in content for term in _terms(token))) or list(
        dict.fromkeys(term for token in tokens for term in _terms(token))
    )


def _tokens(text: str) -> list[str]:
    normal = _normalize(text)
    pattern = _ANY_TEXT if _HAS_UNSPACED.search(normal) else _SPACED_TEXT
    names = (name.replace("-", "") for name in _HYPHENATED_NAME.findall(normal))
    return [*pattern.findall(normal), *names]


def _terms(token: str) -> tuple[str, ...]:
    # long runs seldom come twice and would fill the memory
    return _known_terms(token) if len(token) <= _LONGEST_KNOWN else _known_terms.__wrapped__(token)


@lru_cache(maxsize=1 << 16)
def _known_terms(token: str) -> tuple[str, ...]:
    if _NUMBER.fullmatch(token):
        return tuple(_numbers(token))
    if _HAS_UNSPACED.match(token):
        return tuple(_bigrams(token))
    if token in STOP_WORDS:
        return ()
    word = token.replace(".", "")
    year = _YEAR_SUFFIX.fullmatch(word)
    return (_stem(word), *year.groups()) if year else (_stem(word),)


def _normalize(text: str) -> str:
    """Fold compatibility forms, case and Latin accents: "café" becomes "cafe", and "Wrocław" stays."""
    if text.isascii():
        return _POSSESSIVE.sub("", text.lower())
    stretches: list[str] = _STRETCH.findall(_FRACTION_AFTER_DIGIT.sub(" ", text).casefold())
    return _POSSESSIVE.sub("", "".join(map(_fold, stretches)))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", _LATIN_ACCENTS.sub("", unicodedata.normalize("NFKD", text)))


def _numbers(token: str) -> Iterator[str]:
    """Yield the numbers of a token: 1,577 is 1577, 2.50 is 2.5, and "2021,2022" is two numbers."""
    parts = [token.replace(",", "")] if _THOUSANDS.fullmatch(token) else token.split(",")
    for part in parts:
        # a second point makes it a version or a date, whose zeros count
        yield part.rstrip("0").rstrip(".") if part.count(".") == 1 else part


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
