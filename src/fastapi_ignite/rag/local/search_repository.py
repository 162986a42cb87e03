"""SQL of the local engine's search."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.rag.answers.passage import Passage
from fastapi_ignite.rag.local.fusion import Candidate, Ranked
from fastapi_ignite.rag.local.models import TermStat
from fastapi_ignite.rag.text.surroundings import WINDOW_MARGIN, Surroundings

# each leg's contribution to what is scored in full
CANDIDATES = 100

# The tenant is left to the policy: see the repository.
_LEXICAL = text("""
    SELECT chunk_id FROM search_lexical(:project_id, :generating, CAST(:question AS text)::sparsevec, :limit)
""")
# Read whole: 20,000 chunks take about 20 ms. Beyond that an HNSW index is due, on an expression, since the column
# holds models of any length: ((embedding::halfvec(384)) halfvec_cosine_ops).
_DENSE = text("""
    SELECT id FROM chunks
    WHERE project_id = :project_id AND embedding IS NOT NULL
        AND document_id NOT IN (
            SELECT id FROM documents WHERE project_id = :project_id AND hidden_at IS NOT NULL
        )
    ORDER BY embedding <=> CAST(:question AS text)::halfvec LIMIT :limit
""")
_SCORES = text("""
    SELECT id, document_id, -(lexical <#> CAST(:lexical AS text)::sparsevec) AS bm25,
        1 - (embedding <=> CAST(:dense AS text)::halfvec) AS cosine
    FROM chunks WHERE id = ANY(:ids)
""")
_PASSAGES = text("""
    SELECT c.id, c.document_id, c.char_start, c.char_end, c.surroundings, d.page_starts,
        greatest(c.char_start - :margin, 0) AS window_start,
        substr(d.text, greatest(c.char_start - :margin, 0) + 1,
            c.char_end - greatest(c.char_start - :margin, 0) + :margin) AS window_text
    FROM chunks AS c JOIN documents AS d ON d.tenant_id = c.tenant_id AND d.id = c.document_id
    WHERE c.id = ANY(:ids) AND d.hidden_at IS NULL
""")


class LocalSearchRepository:
    """The searches of one tenant, in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def document_frequencies(self, project_id: UUID, terms: Sequence[int]) -> dict[int, int]:
        """Return the number of chunks by term; terms that the project does not have are left out."""
        rows = await self._session.execute(
            select(TermStat.term, TermStat.df).where(
                TermStat.tenant_id == self._tenant_id,
                TermStat.project_id == project_id,
                TermStat.term == func.any(list(terms)),
            )
        )
        return {row.term: row.df for row in rows}

    async def lexical_candidates(self, project_id: UUID, generating: Sequence[int], question: str) -> list[UUID]:
        """Return the best chunks by words, best first. `question` is a sparsevec as text."""
        if not generating:
            return []
        rows = await self._session.scalars(
            _LEXICAL,
            {"project_id": project_id, "generating": list(generating), "question": question, "limit": CANDIDATES},
        )
        return list(rows)

    async def dense_candidates(self, project_id: UUID, question: str) -> list[UUID]:
        """Return the nearest chunks that are embedded, nearest first. `question` is a halfvec as text."""
        rows = await self._session.scalars(
            _DENSE,
            {"project_id": project_id, "question": question, "limit": CANDIDATES},
        )
        return list(rows)

    async def score(self, chunk_ids: Sequence[UUID], lexical: str, dense: str | None) -> list[Candidate]:
        """Return both scores of every candidate, whichever search found it."""
        rows = await self._session.execute(_SCORES, {"ids": list(chunk_ids), "lexical": lexical, "dense": dense})
        return [Candidate(row.id, row.document_id, row.bm25, row.cosine) for row in rows]

    async def passages(self, ranked: Sequence[Ranked]) -> list[Passage]:
        """Return the passages in the order given, without those that were hidden meanwhile."""
        rows = await self._session.execute(
            _PASSAGES,
            {
                "ids": [entry.candidate.chunk_id for entry in ranked],
                "margin": WINDOW_MARGIN,
            },
        )
        found = {row.id: row for row in rows}
        return [
            Passage(
                document_id=row.document_id,
                char_start=row.char_start,
                char_end=row.char_end,
                window=row.window_text,
                window_start=row.window_start,
                page_starts=row.page_starts,
                score=entry.score,
                surroundings=Surroundings.from_json(row.surroundings),
            )
            for entry in ranked
            if (row := found.get(entry.candidate.chunk_id)) is not None
        ]
