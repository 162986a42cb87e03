"""Finds which words of a text are negated, so that a question is not answered with the opposite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.words import word_list

# Content words that a negation governs: "not [included] in the [fee]", "without [single] [sign-on]".
_SCOPE: Final = 3

_NEGATIONS: Final = word_list("not no never without cannot neither nor nobody none nothing excluding except")
# "not only", "no later than", "not until March": nothing is denied
_WITHOUT_DENIAL: Final = word_list(
    "only later earlier more less fewer longer sooner than until till before just merely exceed exceeding"
)
_NEGATIVE_CELLS: Final = frozenset(
    "no none never false not n n/a na - \u2013 \u2014 x \u2717 \u2718 \u00d7 \u274c".split()  # noqa: SIM905  signs
) | {"not included", "not available", "excluded", "not covered"}
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_CLAUSE: Final = re.compile(r"[.;:!?\n]\s|\bbut\b|\bwhile\b|\bwhereas\b|\bunless\b", re.IGNORECASE)
_EXCEPTION: Final = re.compile(r"\b(?:except|excepting|excluding|but not|apart from|unless)\b", re.IGNORECASE)
_SELECTS: Final = re.compile(r"\W*(?:\w+\W+){0,3}?(?:which|who|whom|whose)\b", re.IGNORECASE)


def negated_terms(text: str) -> frozenset[str]:
    """Return the terms that the negations of a text govern: of "It does not include travel" `includ` and `travel`."""
    return frozenset(term for clause in _CLAUSE.split(text) for term in _governed(clause))


def is_negative_cell(words: str) -> bool:
    """Return whether a cell of a table says that the row does not have what its column names."""
    return words.strip().casefold() in _NEGATIVE_CELLS


def selects(question: str) -> bool:
    """Return whether a question asks for those to whom something applies ("Which plans ...", "Who ...")."""
    return _SELECTS.match(question) is not None


def has_exception(text: str) -> bool:
    """Return whether a text affirms something of some and denies it of others: "refunded, except group tickets"."""
    return _EXCEPTION.search(text) is not None


def _governed(clause: str) -> Iterator[str]:
    words = _WORD.findall(clause)
    for position, word in enumerate(words):
        following = words[position + 1 : position + 2]
        if _is_negation(word) and not (following and following[0].casefold() in _WITHOUT_DENIAL):
            yield from _content(words[position + 1 :])


def _is_negation(word: str) -> bool:
    lower = word.casefold()
    return lower in _NEGATIONS or lower.endswith(("n't", "n\u2019t"))


def _content(words: list[str]) -> list[str]:
    found: list[str] = []
    # not all words: a clause may be as long as a document
    for word in words[: 3 * _SCOPE]:
        found += analyze(word)
        if len(found) >= _SCOPE:
            break
    return found[:_SCOPE]
