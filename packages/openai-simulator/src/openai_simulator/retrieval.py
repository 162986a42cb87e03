"""Searches the files of stores, and answers from what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from openai_simulator.filters import ComparisonFilter, CompoundFilter
from openai_simulator.grounding import cited_answer, parse_prompt
from openai_simulator.matching import Query, chunk, sentences, terms
from openai_simulator.objects import StoredFile, StoreFile

REFUSAL: Final = "I could not find anything about this in the uploaded files."
ENOUGH: Final = 0.5  # the least score of a sentence that is an answer
WORTH_QUOTING: Final = 0.85  # the least score of a further sentence, as a share of the best score
QUOTES: Final = 3


@dataclass(frozen=True, slots=True)
class SearchableFile:
    """A file of a store whose indexing is completed, with its text."""

    file: StoredFile
    attached: StoreFile
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that matched a query."""

    file_id: str
    filename: str
    score: float
    text: str
    attributes: dict[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """A text with its citations: each is a hit and the offset in `text` at which the quote ends."""

    text: str
    citations: tuple[tuple[Hit, int], ...] = ()
    hits: tuple[Hit, ...] = field(default=())

    def annotations(self, length: int) -> list[dict[str, Any]]:
        """Return the annotations of the first `length` characters."""
        return [
            {"type": "file_citation", "index": index, "file_id": hit.file_id, "filename": hit.filename}
            for hit, index in self.citations
            if index <= length
        ]


def search(
    indexed: Sequence[SearchableFile],
    queries: Sequence[str],
    *,
    limit: int,
    filters: ComparisonFilter | CompoundFilter | None = None,
    threshold: float = 0,
) -> list[Hit]:
    """Return the best chunks first. A chunk without any word of the queries is never a result."""
    hits = [
        Hit(each.file.id, each.file.filename, 0, each.text[span.start : span.end], each.attached.attributes)
        for each in indexed
        if filters is None or filters.matches(each.attached.attributes)
        for span in chunk(each.text, each.attached.chunking)
    ]
    weighed = [Query(query, [hit.text for hit in hits]) for query in queries]
    scored = [_with_score(hit, max(query.score(hit.text) for query in weighed)) for hit in hits]
    found = [hit for hit in scored if hit.score > 0 and hit.score >= threshold]
    return sorted(found, key=lambda hit: -hit.score)[:limit]


def answer(question: str, hits: Sequence[Hit]) -> CitedAnswer:
    """Answer with the sentences that hold most of the question's words, each cited, or with a refusal."""
    candidates = {(sentence, hit.file_id): hit for hit in reversed(hits) for sentence in sentences(hit.text)}
    query = Query(question, [hit.text for hit in hits])
    ranked = sorted(((query.score(text), text, hit) for (text, _), hit in candidates.items()), key=_by_score)
    if not ranked or ranked[0][0] < ENOUGH:
        return CitedAnswer(REFUSAL, hits=tuple(hits))
    best = ranked[0][0]
    text = ""
    said: list[frozenset[str]] = []
    citations: list[tuple[Hit, int]] = []
    for score, sentence, hit in ranked:
        words = terms(sentence)
        if score < max(ENOUGH, WORTH_QUOTING * best) or len(citations) == QUOTES:
            break
        if words in said:
            continue
        said.append(words)
        text = f"{text} {sentence}" if text else sentence
        citations.append((hit, len(text)))
    return CitedAnswer(text, tuple(citations), tuple(hits))


def answer_from_prompt(prompt: str) -> CitedAnswer:
    """Answer without file search: the last paragraph of the prompt is the question, the rest is the source."""
    if asked := parse_prompt(prompt):
        return CitedAnswer(cited_answer(asked, enough=ENOUGH, worth_quoting=WORTH_QUOTING, quotes=QUOTES))
    context, _, question = prompt.rstrip().rpartition("\n\n")
    return answer(question, [Hit("", "", 1, context, {})]) if context else CitedAnswer(f"You said: {question}")


def _with_score(hit: Hit, score: float) -> Hit:
    return Hit(hit.file_id, hit.filename, score, hit.text, hit.attributes)


def _by_score(candidate: tuple[float, str, Hit]) -> tuple[float, int, str]:
    """Sort by score, and put the shorter of two equal sentences first."""
    score, sentence, _ = candidate
    return -score, len(sentence), sentence
