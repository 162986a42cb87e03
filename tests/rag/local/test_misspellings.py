"""Misspelled words in questions, and synonyms."""

from __future__ import annotations

import pytest

from fastapi_ignite.rag.local.misspellings import MOST_WORDS, best_spelling, spellings, unknown_words
from fastapi_ignite.rag.text.analysis import analyze
from support.rag_projects import RagProjectFactory

TEXT = "The warranty of the greenhouse ends in October. The vehicle is parked behind the warehouse."


@pytest.mark.parametrize("typo", ["warrenty", "waranty", "warrantty", "warratny"])
def test_a_letter_too_many_too_few_wrong_or_swapped_is_corrected(typo: str) -> None:
    known = dict.fromkeys(analyze(TEXT), 1)
    assert best_spelling(known, spellings(typo)) == "warranty"


def test_real_words_numbers_and_codes_are_left_alone() -> None:
    assert unknown_words("Which prize has VX-4471 in 1998, and which prince?", {}) == []


def test_few_words_of_a_question_are_looked_up() -> None:
    words = " ".join(f"qx{letter}zzq" for letter in "abcdefghijklmnop")
    assert len(unknown_words(words, {})) == MOST_WORDS


async def test_a_misspelled_word_finds_what_was_meant(rag_project: RagProjectFactory) -> None:
    project = await rag_project()
    await project.add(TEXT)
    assert await project.quotes("When does the warrenty of the grenhouse end?") == [TEXT[: TEXT.index(" The vehicle")]]


async def test_a_synonym_finds_what_was_meant(rag_project: RagProjectFactory) -> None:
    project = await rag_project()
    await project.add(TEXT)
    assert await project.quotes("Where is the car parked?") == [TEXT[TEXT.index("The vehicle") :]]
