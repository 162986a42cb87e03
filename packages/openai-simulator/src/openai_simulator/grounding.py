"""Answers a prompt that holds numbered passages, as a model with these instructions would."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openai_simulator.matching import Query, sentences, terms

NO_ANSWER: Final = "NO_ANSWER"
_BLOCK: Final = re.DOTALL | re.MULTILINE
_CODE: Final = re.compile(r"The code of this message is (?P<code>[0-9a-f]{16})\.")


@dataclass(frozen=True, slots=True)
class GroundedPrompt:
    """The question and passages of a prompt. Lines with the prompt's code mark them: passages hold any text."""

    question: str
    passages: tuple[str, ...]


def parse_prompt(prompt: str) -> GroundedPrompt | None:
    """Return the parts of a prompt, or None if it does not have this form."""
    opening = _CODE.match(prompt)
    if opening is None:
        return None
    code = opening["code"]
    passages = re.findall(rf"^=== PASSAGE \d+ {code} ===\n(.*?)\n=== END OF PASSAGE \d+ {code} ===$", prompt, _BLOCK)
    question = re.search(rf"^=== QUESTION {code} ===\n(.*?)\n=== END OF QUESTION {code} ===$", prompt, _BLOCK)
    return GroundedPrompt(question[1], tuple(passages)) if question else None


def cited_answer(asked: GroundedPrompt, *, enough: float, worth_quoting: float, quotes: int) -> str:
    """Return the sentences that hold most of the question's words, each followed by a mark that quotes it."""
    query = Query(asked.question, asked.passages)
    ranked = sorted(
        ((-query.score(sentence), len(sentence), number, sentence) for number, sentence in _numbered(asked.passages))
    )
    if not ranked or -ranked[0][0] < enough:
        return NO_ANSWER
    least = max(enough, -worth_quoting * ranked[0][0])
    chosen: dict[frozenset[str], str] = {}
    for score, _, number, sentence in ranked:
        if -score >= least and len(chosen) < quotes:
            chosen.setdefault(terms(sentence), f'{sentence} [{number}: "{sentence}"]')
    return " ".join(chosen.values())


def _numbered(passages: Sequence[str]) -> list[tuple[int, str]]:
    return [(number, each) for number, passage in enumerate(passages, start=1) for each in sentences(passage)]
