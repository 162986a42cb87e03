"""Finds words that usually say nothing where they are written as names: the IT department, May, Will Turner."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fastapi_ignite.rag.text.words import QUESTION_WORDS, STOP_WORDS

_CAPITALS: Final = frozenset(word.upper() for word in STOP_WORDS if len(word) > 1)
# It begins with a set of letters, by which the search is several times faster than with what stands before them.
# The letter of a code such as "A-103" belongs to the code.
_CANDIDATE: Final = re.compile(r"[A-Z](?:[A-Z]{1,5}|ill|)(?![\w'\u2019]|-\d)")
_BEFORE_NAME: Final = re.compile(r"[\w,] ")
_BEFORE_LETTER: Final = re.compile(r"\w[ -]")
_INSIDE_WORD: Final = re.compile(r"[\w.'\u2019]")
_NAME_FOLLOWS: Final = re.compile(r" [A-Z][a-z]")
_AROUND: Final = 24
_SHORT_LINE: Final = 6
_QUESTION_WORD: Final = re.compile(
    r"(?<=[\w,] )[\"'\u201c\u2018(]?(?P<name>[A-Z]\w+)"  # not the first word of a sentence
    r"|^\W*(?P<month>May)(?= \d)"
    r"|(?i:\b(?:in|for|of|during|since|until|till|by|last|next|early|late|mid|before|after)[ -](?P<written>may\b))"
)
_WORD: Final = re.compile(r"[^\W\d_]+")
_WORDS_OF_A_TITLE: Final = 4
_LOWER: Final = re.compile(r"[a-z]")


def named_stop_words(text: str) -> list[str]:
    """Return the stop words that stand in a text as names, in lower case and with repetitions.

    These are "IT" among words that are not in capitals, "A" behind a word, and "Will" inside a sentence or before
    another name.
    """
    return [match.group().lower() for match in _CANDIDATE.finditer(text) if _is_name(text, match)]


def _is_name(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    match match.group():
        case "A":
            behind_word = start > 1 and _BEFORE_LETTER.match(text, start - 2) is not None
            return behind_word and _is_set_apart(text, start, end)
        case "Will":
            inside = start > 1 and _BEFORE_NAME.match(text, start - 2)
            starts = not start or _INSIDE_WORD.match(text, start - 1) is None
            return bool(inside or (starts and _NAME_FOLLOWS.match(text, end)))
        case word if word in _CAPITALS:
            starts = not start or _INSIDE_WORD.match(text, start - 1) is None
            return starts and _is_set_apart(text, start, end)
        case _:
            return False


def named_question_words(question: str) -> Iterator[str]:
    """Yield the question words that stand in a question as names, in lower case."""
    title_case = _is_title_case(question)
    for match in _QUESTION_WORD.finditer(question):
        word = match["name"] or match["month"] or match["written"]
        if word.lower() not in QUESTION_WORDS:
            continue
        if match["name"] and (not _is_set_apart(question, *match.span("name")) if word.isupper() else title_case):
            continue
        yield word.lower()


def _is_set_apart(text: str, start: int, end: int) -> bool:
    """Return whether a word in capitals stands among words that are not, or almost alone."""
    around = text[max(start - _AROUND, 0) : end + _AROUND]
    return _LOWER.search(around) is not None or len(around.strip()) <= _SHORT_LINE


def _is_title_case(text: str) -> bool:
    """Return whether most words begin with a capital, so that a capital tells nothing."""
    words = _WORD.findall(text)
    return len(words) >= _WORDS_OF_A_TITLE and sum(word[0].isupper() for word in words) > 2 * len(words) / 3
