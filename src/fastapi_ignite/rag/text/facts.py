"""Finds the numbers, dates and names in a text: the words that no other word may stand in for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.names import named_question_words, named_stop_words
from fastapi_ignite.rag.text.words import FUNCTION_WORDS, word_list

_UNITS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBER_WORDS: Final = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(_UNITS[1:10])}))?|(?P<unit>{'|'.join(_UNITS)}))\b",
    re.IGNORECASE,
)
# these alone are seldom numbers
_SELDOM_NUMBERS: Final = word_list("zero one")
_TOKEN: Final = re.compile(r"[^\W_]+(?:[-.,:/'\u2019][^\W_]+)*")
_HAS_DIGIT: Final = re.compile(r"\d")
# "hall 5", "plan B"
_KIND_AND_NUMBER: Final = re.compile(
    r"(?<![\w-])(?P<kind>[^\W\d_]{3,30}) (?P<name>\d{1,3}|[A-Z])(?![\w.,:/%'\u2019-]*\w)"
)
# "the Premium plan"
_NAME_AND_KIND: Final = re.compile(
    r"\b(?:[Tt]he|[Aa]n?|[Oo]ur|[Yy]our|[Oo]f|[Ii]n|[Ff]or) (?P<name>[A-Z][a-z]{2,30}) (?P<kind>[a-z]{3,30})\b"
)
# the number of an item in a list says nothing
_ITEM_NUMBER: Final = re.compile(r"(?m)^\s*\(?\d{1,3}[.)]\s")


def numbers_in(text: str) -> frozenset[str]:
    """Return the numbers of a text, those up to 99 also where they are written as words ("twenty" is 20)."""
    text = item_number_removed(text)
    digits = (term for term in analyze(text) if term[0].isdigit())
    return frozenset((*digits, *_spelled_numbers(text)))


def item_number_removed(text: str) -> str:
    """Return the text without the numbers before its items."""
    return _ITEM_NUMBER.sub(" ", text)


def specific_terms(question: str) -> frozenset[str]:
    """Return the terms of the numbers, codes and names in a question.

    A name is a capitalised word that is not the first one. Where most words are capitalised, capitals tell nothing.
    """
    tokens = _TOKEN.findall(question)
    capitalised = [token for token in tokens[1:] if token[0].isupper() and not _HAS_DIGIT.search(token)]
    if len(capitalised) > len(tokens) / 2:
        capitalised = []
    names = [token for token in capitalised if token.casefold() not in FUNCTION_WORDS]
    codes = [token for token in tokens if _HAS_DIGIT.search(token)]
    terms = (term for token in (*names, *codes, *named_question_words(question)) for term in analyze(token))
    return frozenset((*terms, *named_stop_words(question)))


def code_terms(question: str) -> dict[str, frozenset[str]]:
    """Return the terms of each code in a question by the one that is the whole code: of "NR-3" these are nr, 3, nr3.

    Without the whole code its parts tell nothing: "NR-2210, delivered in 3 days" is about another thing.
    """
    found = {}
    for token in _TOKEN.findall(question):
        whole = token.replace("-", "").casefold()
        terms = frozenset(analyze(token))
        if "-" in token and whole in terms:
            found[whole] = terms
    return found


def names_another(question: str, text: str) -> bool:
    """Return whether a text tells of another thing of the kind that a question names: "hall 4" for "hall 5".

    The question must name the kind beside a number, a capital letter or a name: "hall 5", "plan B", "Premium plan".
    """
    asked = _named_things(question)
    if not asked:
        return False
    told = _named_things(text)
    return any(kind in told and names.isdisjoint(told[kind]) for kind, names in asked.items())


def _named_things(text: str) -> dict[str, set[str]]:
    """Return the names in a text by the terms of the kinds that they stand beside."""
    found: dict[str, set[str]] = {}
    for pattern in (_KIND_AND_NUMBER, _NAME_AND_KIND):
        for match in pattern.finditer(text):
            name = match["name"].casefold()
            if name not in FUNCTION_WORDS or len(name) == 1:
                for term in analyze(match["kind"]):
                    found.setdefault(term, set()).add(name)
    return found


def _spelled_numbers(text: str) -> Iterator[str]:
    for match in _NUMBER_WORDS.finditer(text):
        if tens := match["tens"]:
            ones = match["ones"]
            yield str(10 * (_TENS.index(tens.lower()) + 2) + (_UNITS.index(ones.lower()) if ones else 0))
        elif match["unit"].lower() not in _SELDOM_NUMBERS:
            yield str(_UNITS.index(match["unit"].lower()))
