"""Finds the passages for a question in two short read transactions, with the embedding model between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.answers.passage import Passage, best_of_each
from fastapi_ignite.rag.engine import AttributeCondition
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.embedding import Vectors
from fastapi_ignite.rag.local.evidence import QuestionTerms
from fastapi_ignite.rag.local.fusion import Candidate, fuse
from fastapi_ignite.rag.local.lexical import (
    few_chunks,
    generating_terms,
    inverse_document_frequency,
    posting_id,
    question_weights,
    sparsevec_text,
)
from fastapi_ignite.rag.local.misspellings import best_spelling, corrected_text, spellings, unknown_words
from fastapi_ignite.rag.local.search_repository import (
    CANDIDATES,
    SearchedIndex,
    TermCounts,
    find_candidates,
    find_index,
    find_passages,
)
from fastapi_ignite.rag.local.synonyms import synonyms_of
from fastapi_ignite.rag.text.analysis import question_terms

# "Hello, ...", "Ok, and ...": how people begin to talk
_OPENING: Final = re.compile(
    r"\A\s*(?:(?:hello|hi|hey|ok|okay|well|so|and|but|then|please|thanks|thank you)\b[\s,.!]+){1,4}(?=\w)",
    re.IGNORECASE,
)
# How often the passages are looked for until no document of theirs is removed or replaced between the two queries.
MOST_RETRIEVALS: Final = 5
# What a synonym adds to a chunk's score, as a share of what the word itself would add.
_SYNONYM_SCORE: Final = 0.5


@dataclass(frozen=True)
class Question:
    """A question to one project, with the project's index, and the counts of its terms and of their synonyms.

    `text` is without misspellings where the project holds the word that was meant.
    """

    project_id: UUID
    text: str
    index: SearchedIndex
    counts: dict[str, TermCounts]
    synonyms: dict[str, TermCounts]

    @cached_property
    def terms(self) -> QuestionTerms:
        """The terms weighed for an answer. A search does not need them, and they cost a tenth of its time."""
        held = {
            term: count.chunks
            or max((self.synonyms.get(other, TermCounts()).chunks for other in synonyms_of(term)), default=0)
            for term, count in self.counts.items()
        }
        return QuestionTerms(held, self.index.chunk_count, self.text)

    def generating(self) -> list[int]:
        counts = {**self.synonyms, **self.counts}
        return generating_terms({posting_id(self.project_id, term): count.chunks for term, count in counts.items()})

    def sparsevec(self) -> str:
        weights = {term: _SYNONYM_SCORE * self._idf(count) for term, count in self.synonyms.items()}
        weights |= {term: self._idf(count) for term, count in self.counts.items()}
        return sparsevec_text(question_weights(weights))

    def _idf(self, count: TermCounts) -> float:
        """Weigh a term by the number of parts that hold it: its number of chunks in one text says little."""
        if self.index.part_count:
            return inverse_document_frequency(self.index.part_count, count.parts)
        return inverse_document_frequency(self.index.chunk_count, count.chunks)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages that were found. `vector` is the question's embedding; without one only words were searched for."""

    question: Question
    passages: list[Passage]
    vector: Vectors | None


class Retriever:
    """Searches by words and embeddings, and fuses the two rankings."""

    def __init__(self, database: Database, embedders: Embedders) -> None:
        self._database = database
        self._embedders = embedders

    async def retrieve(
        self,
        tenant_id: UUID,
        project_id: UUID,
        text: str,
        *,
        limit: int,
        within: AttributeCondition | None = None,
        per_document: int | None = None,
    ) -> Retrieved | None:
        """Return at most `limit` passages, or None when there is nothing to search in or for.

        The counts of passages and terms are those of the whole project, also with a condition on files.
        """
        question = await self.analyze_question(tenant_id, project_id, text)
        if question is None:
            return None
        vector = await self._embedders.embed_question(tenant_id, question.index.model, question.text)
        depth = max(CANDIDATES, 2 * limit)
        for _ in range(MOST_RETRIEVALS):
            found = await self._candidates(tenant_id, question, vector, within, row_limit=depth)
            fused = fuse(found, CANDIDATES if depth > CANDIDATES else None)
            ranked = best_of_each(fused, lambda entry: entry.candidate.document_id, per_document)[:limit]
            passages = await find_passages(self._database, tenant_id, ranked)
            if len(passages) == len(ranked):  # otherwise a document was hidden meanwhile, which another may replace
                break
        return Retrieved(question, passages, vector)

    async def candidates(self, tenant_id: UUID, project_id: UUID, text: str) -> list[Candidate]:
        """Return what either search found, with both scores, in no order."""
        question = await self.analyze_question(tenant_id, project_id, text)
        if question is None:
            return []
        vector = await self._embedders.embed_question(tenant_id, question.index.model, question.text)
        return await self._candidates(tenant_id, question, vector)

    async def analyze_question(self, tenant_id: UUID, project_id: UUID, text: str) -> Question | None:
        """Analyze a question, or return None when there is nothing to search in or for."""
        text = _OPENING.sub("", text, count=1)
        terms = question_terms(text)
        if not terms:
            return None
        index, known = await self._look_up(tenant_id, project_id, _with_synonyms(terms))
        if index is None or index.chunk_count == 0:
            return None
        spelled = {word: spellings(word) for word in unknown_words(text, _in_chunks(known))}
        if spelled:
            possible = dict.fromkeys(term for by_term in spelled.values() for term in by_term)
            _, held = await self._look_up(tenant_id, project_id, possible)
            found = {word: best_spelling(_in_chunks(held), by_term) for word, by_term in spelled.items()}
            corrected = corrected_text(text, {word: spelling for word, spelling in found.items() if spelling})
            if corrected != text:
                text, terms = corrected, question_terms(corrected)
                _, known = await self._look_up(tenant_id, project_id, _with_synonyms(terms))
        counts = {term: known[term] for term in terms}
        synonyms = {term: count for term, count in known.items() if count.chunks and term not in counts}
        return Question(project_id, text, index, counts, synonyms)

    async def _look_up(
        self, tenant_id: UUID, project_id: UUID, terms: Iterable[str]
    ) -> tuple[SearchedIndex | None, dict[str, TermCounts]]:
        """Return the index, and the counts of each term, in one query.

        Terms are stored as hashes: a spelling can be asked for, but spellings cannot be listed.
        """
        postings = {term: posting_id(project_id, term) for term in terms}
        index = await find_index(self._database, tenant_id, project_id, list(postings.values()))
        held = index.counts if index else {}
        return index, {term: held.get(posting, TermCounts()) for term, posting in postings.items()}

    async def _candidates(
        self,
        tenant_id: UUID,
        question: Question,
        vector: Vectors | None,
        within: AttributeCondition | None = None,
        *,
        row_limit: int = CANDIDATES,
    ) -> list[Candidate]:
        return await find_candidates(
            self._database,
            tenant_id,
            question.project_id,
            question.generating(),
            question.sparsevec(),
            vector,
            question.index.averages,
            within=within,
            few=few_chunks(question.index.chunk_count),
            row_limit=row_limit,
        )


def _in_chunks(counts: Mapping[str, TermCounts]) -> dict[str, int]:
    return {term: count.chunks for term, count in counts.items()}


def _with_synonyms(terms: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(each for term in terms for each in (term, *synonyms_of(term))))
