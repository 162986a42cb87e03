"""Corrects misspelled words of a question by the words that a project's documents hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

from fastapi_ignite.rag.text.analysis import analyze
from fastapi_ignite.rag.text.words import FUNCTION_WORDS

# A short word is one letter away from too many others.
SHORTEST: Final = 5
LONGEST: Final = 20
# Words of one question that are looked up, each in some 500 spellings of at most 1,000 bytes together.
MOST_WORDS: Final = 5
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"
_WORD: Final = re.compile(r"[^\W\d_]+(?![\w'\u2019-])")


def unknown_words(question: str, frequencies: Mapping[str, int]) -> list[str]:
    """Return the words that may be misspelled: in lower case, in no document of the project, and no common words.

    Names, codes and numbers of letters other than the 26 are left alone.
    """
    found = []
    for match in _WORD.finditer(question):
        word = match.group().lower()
        if not (word.isascii() and SHORTEST <= len(word) <= LONGEST) or word in FUNCTION_WORDS:
            continue
        terms = analyze(word)
        if terms and not any(frequencies.get(term, 0) for term in terms) and word not in _common_words():
            found.append(word)
    return list(dict.fromkeys(found))[:MOST_WORDS]


def spellings(word: str) -> dict[str, list[str]]:
    """Return the words at a distance of one edit, by term.

    An edit leaves out, adds or replaces a letter, or swaps two neighbours (Damerau and Levenshtein). The first letter
    stays: it is seldom wrong.
    """
    by_term: dict[str, list[str]] = {}
    for other in dict.fromkeys(_edits(word)):
        for term in analyze(other):
            by_term.setdefault(term, []).append(other)
    return by_term


def corrected_text(question: str, corrections: Mapping[str, str]) -> str:
    """Return the question with these words, given in lower case, replaced."""
    return _WORD.sub(lambda match: corrections.get(match.group().lower(), match.group()), question)


def best_spelling(known: Mapping[str, int], by_term: Mapping[str, list[str]]) -> str | None:
    """Return the spelling whose term most chunks hold, a common word before others, or None if no chunk holds any."""
    candidates = [
        (spelling in _common_words(), known[term], spelling)
        for term, words in by_term.items()
        if known.get(term)
        for spelling in words
    ]
    return max(candidates)[2] if candidates else None


def _edits(word: str) -> Iterator[str]:
    first, rest = word[0], word[1:]
    for position in range(len(rest) + 1):
        before, after = rest[:position], rest[position:]
        if after:
            yield first + before + after[1:]
        if len(after) > 1:
            yield first + before + after[1] + after[0] + after[2:]
        for letter in _ALPHABET:
            yield first + before + letter + after
            if after and letter != after[0]:
                yield first + before + letter + after[1:]


@lru_cache(maxsize=1)
def _common_words() -> frozenset[str]:
    """Return the words of English that the embedding model knows whole. None of them is a misspelling."""
    lines = (files("fastapi_ignite.rag.text") / "minilm_vocab.txt").read_text().splitlines()
    return frozenset(line for line in lines if line.isascii() and line.isalpha())
