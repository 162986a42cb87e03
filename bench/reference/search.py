"""The bare SQL of a search, and the embedding of its question: what remains of a search without an API around it.

The connection is the owner's, whom no policy restricts. The clock runs while a statement or the model does. It stands
still while our own functions split the question into words and fuse the two rankings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from fastapi_ignite.rag.local.embedding import halfvec_text
from fastapi_ignite.rag.local.fusion import Candidate, fuse
from fastapi_ignite.rag.local.lexical import (
    generating_terms,
    inverse_document_frequency,
    posting_id,
    question_weights,
    sparsevec_text,
)
from fastapi_ignite.rag.local.minilm import MiniLmEmbedder
from fastapi_ignite.rag.text.analysis import question_terms
from fastapi_ignite.rag.text.surroundings import WINDOW_MARGIN

_TERMS = "SELECT term, df FROM term_stats WHERE tenant_id = $1 AND project_id = $2 AND term = ANY($3)"
_CANDIDATES = """
WITH found AS (
    (
        SELECT id FROM chunks
        WHERE terms && $3::integer[] AND (tenant_id = $1) IS TRUE AND (project_id = $2) IS TRUE
        ORDER BY lexical <#> (SELECT $4::text::sparsevec) LIMIT 100
    ) UNION (
        SELECT id FROM chunks
        WHERE tenant_id = $1 AND project_id = $2 AND embedding IS NOT NULL
        ORDER BY embedding <=> (SELECT $5::text::halfvec) LIMIT 100
    )
)
SELECT id, document_id, -(lexical <#> (SELECT $4::text::sparsevec)), 1 - (embedding <=> (SELECT $5::text::halfvec))
FROM chunks WHERE tenant_id = $1 AND id IN (SELECT id FROM found)
"""
_PASSAGES = """
SELECT c.id, substr(d.text, greatest(c.char_start - $3, 0) + 1, c.char_end - greatest(c.char_start - $3, 0) + $3)
FROM chunks AS c JOIN documents AS d ON d.tenant_id = c.tenant_id AND d.id = c.document_id
WHERE c.tenant_id = $1 AND c.id = ANY($2)
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """The seconds of a search in SQL and of the embedding of its question."""

    sql: float
    embedding: float
    found: int

    @property
    def both(self) -> float:
        return self.sql + self.embedding


class BareSearch:
    """Searches by one connection with three statements."""

    def __init__(self, connection: asyncpg.Connection, embedder: MiniLmEmbedder) -> None:
        self._connection = connection
        self._embedder = embedder
        self._seconds = 0.0

    async def search(self, tenant_id: UUID, project_id: UUID, text: str, *, chunk_count: int, limit: int) -> Timing:
        terms = question_terms(text)
        postings = {term: posting_id(project_id, term) for term in terms}
        self._seconds = 0.0
        known = dict(await self._fetch(_TERMS, tenant_id, project_id, list(postings.values())))
        idf = {term: inverse_document_frequency(chunk_count, known.get(postings[term], 0)) for term in terms}
        began = time.perf_counter()
        vector = await self._embedder.embed_query(text)
        embedding = time.perf_counter() - began
        rows = await self._fetch(
            _CANDIDATES,
            tenant_id,
            project_id,
            generating_terms(known),
            sparsevec_text(question_weights(idf)),
            halfvec_text(vector),
        )
        best = fuse([Candidate(*row) for row in rows])[:limit]
        ids = [entry.candidate.chunk_id for entry in best]
        found = await self._fetch(_PASSAGES, tenant_id, ids, WINDOW_MARGIN)
        return Timing(self._seconds, embedding, len(found))

    async def _fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        began = time.perf_counter()
        rows = await self._connection.fetch(statement, *values)
        self._seconds += time.perf_counter() - began
        return [tuple(row) for row in rows]
