"""Finds the passages for a question in two short read transactions, with the embedding model between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.answers.passage import Passage
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.embedding import EmbeddingModel, Vectors, halfvec_text
from fastapi_ignite.rag.local.evidence import QuestionTerms
from fastapi_ignite.rag.local.fusion import Candidate, fuse
from fastapi_ignite.rag.local.lexical import (
    generating_terms,
    inverse_document_frequency,
    posting_id,
    question_weights,
    sparsevec_text,
)
from fastapi_ignite.rag.local.repository import LocalIndexRepository
from fastapi_ignite.rag.local.search_repository import LocalSearchRepository
from fastapi_ignite.rag.text.analysis import question_terms


@dataclass(frozen=True, slots=True)
class Question:
    """A question to one project, with the project's model and size, and the number of chunks that hold each term."""

    project_id: UUID
    text: str
    model: EmbeddingModel
    chunk_count: int
    frequencies: dict[str, int]

    def generating(self) -> list[int]:
        return generating_terms(
            {posting_id(self.project_id, term): frequency for term, frequency in self.frequencies.items()}
        )

    def sparsevec(self) -> str:
        idf = {
            term: inverse_document_frequency(self.chunk_count, frequency)
            for term, frequency in self.frequencies.items()
        }
        return sparsevec_text(question_weights(idf))


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages that were found. `vector` is the question's embedding; without one only words were searched for."""

    passages: list[Passage]
    vector: Vectors | None
    terms: QuestionTerms
    model: EmbeddingModel


class Retriever:
    """Searches by words and embeddings, and fuses the two rankings."""

    def __init__(self, database: Database, embedders: Embedders) -> None:
        self._database = database
        self._embedders = embedders

    async def retrieve(self, tenant_id: UUID, project_id: UUID, text: str, *, limit: int) -> Retrieved | None:
        """Return at most `limit` passages, or None when there is nothing to search in or for."""
        question = await self.analyze_question(tenant_id, project_id, text)
        if question is None:
            return None
        vector = await self._embedders.embed_question(question.model, question.text)
        async with self._database.tenant(tenant_id) as session:
            search = LocalSearchRepository(session, tenant_id)
            candidates = await _candidates(search, question, vector)
            passages = await search.passages(fuse(candidates)[:limit])
        return Retrieved(passages, vector, QuestionTerms(question.frequencies, question.chunk_count), question.model)

    async def candidates(self, tenant_id: UUID, project_id: UUID, text: str) -> list[Candidate]:
        """Return what either search found, with both scores, in no order."""
        question = await self.analyze_question(tenant_id, project_id, text)
        if question is None:
            return []
        vector = await self._embedders.embed_question(question.model, question.text)
        async with self._database.tenant(tenant_id) as session:
            return await _candidates(LocalSearchRepository(session, tenant_id), question, vector)

    async def analyze_question(self, tenant_id: UUID, project_id: UUID, text: str) -> Question | None:
        """Analyze a question, or return None when there is nothing to search in or for."""
        terms = question_terms(text)
        async with self._database.tenant(tenant_id) as session:
            index = await LocalIndexRepository(session, tenant_id).find_index(project_id)
            if index is None or index.chunk_count == 0 or not terms:
                return None
            known = await _frequencies(session, tenant_id, project_id, terms)
        model = EmbeddingModel(index.embedder, index.dimensions)
        return Question(project_id, text, model, index.chunk_count, known)


async def _frequencies(
    session: AsyncSession, tenant_id: UUID, project_id: UUID, terms: Sequence[str]
) -> dict[str, int]:
    postings = {term: posting_id(project_id, term) for term in terms}
    known = await LocalSearchRepository(session, tenant_id).document_frequencies(project_id, list(postings.values()))
    return {term: known.get(posting, 0) for term, posting in postings.items()}


async def _candidates(search: LocalSearchRepository, question: Question, vector: Vectors | None) -> list[Candidate]:
    sparse = question.sparsevec()
    dense = None if vector is None else halfvec_text(vector)
    found = set(await search.lexical_candidates(question.project_id, question.generating(), sparse))
    if dense is not None:
        found.update(await search.dense_candidates(question.project_id, dense))
    return await search.score(sorted(found), sparse, dense)
