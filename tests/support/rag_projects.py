"""A project of the local engine that tests fill and ask without HTTP and without a worker."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import Answer, DocumentSource, TokenUsage
from fastapi_ignite.rag.extraction import ExtractedText, Span
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.local.fusion import Candidate, fuse
from support.interrupted_engines import answer_of

PARTS = "document_parts AS p JOIN documents AS d ON d.id = p.document_id AND d.project_id = :project"
COUNTS = f"""
WITH held AS (
    SELECT term, sum(chunks) AS df, sum(parts) AS part_df FROM (
        SELECT term, 1 AS chunks, 0 AS parts FROM chunks, unnest(terms) AS term WHERE project_id = :project
        UNION ALL SELECT term, 0, 1 FROM {PARTS}, unnest(p.terms) AS term
    ) AS each GROUP BY term
), stored AS (
    SELECT term, df, part_df FROM term_stats WHERE project_id = :project AND (df, part_df) <> (0, 0)
)
SELECT
    (SELECT (chunk_count, chunk_terms, part_count, part_chunks, part_terms)::text FROM rag_indexes
     WHERE project_id = :project),
    (SELECT (c.count, c.terms, p.count, p.chunks, p.terms)::text FROM
        (SELECT count(*), coalesce(sum(term_count), 0) AS terms FROM chunks WHERE project_id = :project) AS c,
        (SELECT count(*), coalesce(sum(p.chunk_count), 0) AS chunks, coalesce(sum(p.term_count), 0) AS terms
         FROM {PARTS}) AS p),
    (SELECT count(*) FROM ((TABLE stored EXCEPT ALL TABLE held) UNION ALL (TABLE held EXCEPT ALL TABLE stored)) AS d),
    (SELECT count(*) FROM chunks WHERE project_id = :project)
"""  # noqa: S608  all parts are constants


@dataclass(frozen=True, slots=True)
class RagProject:
    """A project of the local engine. `database` connects with the worker's login."""

    database: Database
    engine: LocalEngine
    tenant_id: UUID
    project_id: UUID

    async def add(self, body: str, page_starts: tuple[int, ...] | None = None, spans: tuple[Span, ...] = ()) -> UUID:
        """Ingest a document, and return its id."""
        digest = hashlib.sha256(body.encode()).digest()
        extracted = ExtractedText(body, page_starts, "text/plain", spans)
        source = DocumentSource(self.tenant_id, self.project_id, new_id(), digest, extracted)
        prepared = await self.engine.prepare(source)
        async with self.database.tenant(self.tenant_id) as session:
            await prepared.write(session)
        return source.document_id

    async def hide(self, document_id: UUID) -> None:
        """Hide a document, as the transaction of a removal does."""
        async with self.database.tenant(self.tenant_id) as session:
            await self.engine.hide(session, self.tenant_id, document_id)

    async def purge(self, document_id: UUID) -> int:
        """Delete a hidden document's chunks, as the job after a removal does, and return their number."""
        return (await self.engine.purge(self.tenant_id, document_id)).chunks

    async def ask(self, question: str, usage: TokenUsage | None = None) -> Answer:
        return await answer_of(self.engine.ask(self.tenant_id, self.project_id, question, usage or TokenUsage()))

    async def quotes(self, question: str) -> list[str]:
        """Return the quotes that the answer cites."""
        return [citation.quote for citation in (await self.ask(question)).citations]

    async def candidates(self, question: str) -> list[Candidate]:
        """Return the candidates that the lexical and the vector search found."""
        return await self.engine._retriever.candidates(self.tenant_id, self.project_id, question)

    async def best(self, question: str) -> UUID:
        """Return the document of the chunk that ranks first."""
        return fuse(await self.candidates(question))[0].candidate.document_id

    async def embedded(self) -> dict[UUID, float]:
        """Return for each document the share of its chunks that have an embedding."""
        async with self.database.tenant(self.tenant_id) as session:
            return dict(await self.engine.embedded(session, self.tenant_id, self.project_id))

    async def backfill_embeddings(self) -> None:
        """Run the backfill until all chunks of this project are embedded; other projects may come first."""
        while any(share < 1 for share in (await self.embedded()).values()):
            await self.engine.backfill_embeddings()

    async def sibling(self, engine: LocalEngine | None = None) -> RagProject:
        """Make another project of the same tenant."""
        statement = (
            "INSERT INTO projects (tenant_id, id, name) SELECT tenant_id, gen_random_uuid(), 'More' FROM projects "
            "WHERE id = :project RETURNING id"
        )
        made = RagProject(self.database, engine or self.engine, self.tenant_id, (await self.rows(statement))[0][0])
        await made.engine.create_index(self.tenant_id, made.project_id)
        return made

    async def rows(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as the tenant, with this project as `:project`, and return its rows."""
        async with self.database.tenant(self.tenant_id) as session:
            result = await session.execute(text(statement), {"project": self.project_id, **parameters})
            return [tuple(row) for row in result] if result.returns_rows else []  # type: ignore[attr-defined]

    async def assert_counts_are_exact(self, chunks: int | None = None) -> None:
        """Check that the sizes of the index and every document frequency equal a recount."""
        recorded, recounted, differences, counted = (await self.rows(COUNTS))[0]
        assert (recorded, differences) == (recounted, 0)
        if chunks is not None:
            assert counted == chunks


RagProjectFactory = Callable[..., Awaitable[RagProject]]


async def gather_all(*work: Awaitable[Any]) -> list[Any]:
    """Await all at once; after all have ended, raise the first failure."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return list(results)
