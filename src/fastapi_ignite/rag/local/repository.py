"""SQL of what the local engine writes: indexes, chunks and term counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Result, Row, and_, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.rag.documents.models import Document
from fastapi_ignite.rag.documents.repository import advisory_lock
from fastapi_ignite.rag.local.embedding import EmbeddingModel
from fastapi_ignite.rag.local.index_rows import (
    COUNT_TERMS,
    INSERT_CHUNKS,
    INSERT_PARTS,
    REMOVE_CHUNKS,
    ChunkRow,
    IndexSizes,
    PartRow,
    columns,
    indexed_text,
)
from fastapi_ignite.rag.local.models import Chunk, RagIndex, TermStat

# how long a batch of embeddings may take before another process may do it over
EMBEDDING_LEASE = timedelta(minutes=2)
# Documents that are embedded together, and the most chunks that one of them has to embed.
SMALL_DOCUMENTS = 32
SMALL_DOCUMENT_CHUNKS = 4

# Statements on `chunks` leave the tenant to the policy. Of a constant the planner asks its statistics, which take a
# tenant younger than the last ANALYZE for a single row, and then any index of the tenant's rows will do.
_NEXT_UNEMBEDDED = text("""
    SELECT mine.id, mine.text, mine.context, twin.embedding::text AS embedding
    FROM (
        SELECT id, document_id, ordinal, text, context, text_sha256 FROM chunks
        WHERE document_id = ANY(CAST(:document_ids AS uuid[])) AND embedding IS NULL
        ORDER BY document_id, ordinal LIMIT :row_limit
    ) AS mine
    LEFT JOIN LATERAL (
        SELECT other.embedding FROM chunks AS other
        JOIN rag_indexes USING (tenant_id, project_id)
        WHERE other.text_sha256 = mine.text_sha256 AND other.embedding IS NOT NULL
            AND rag_indexes.embedder = :embedder AND rag_indexes.dimensions = :dimensions
        LIMIT 1
    ) AS twin ON true
    ORDER BY mine.document_id, mine.ordinal
""")
_SET_EMBEDDINGS = text("""
    WITH written AS (
        UPDATE chunks SET embedding = r.embedding::halfvec
        FROM unnest(CAST(:ids AS uuid[]), CAST(:embeddings AS text[])) AS r (id, embedding)
        WHERE chunks.id = r.id AND chunks.embedding IS NULL
        RETURNING chunks.document_id
    ), counted AS (
        SELECT document_id, count(*) AS chunks FROM written GROUP BY document_id
    )
    UPDATE documents AS d SET
        unembedded_count = d.unembedded_count - coalesce(counted.chunks, 0),
        embedding_lease_until = NULL,
        embedding_failures = CASE WHEN counted.chunks > 0 THEN 0 ELSE d.embedding_failures END
    FROM unnest(CAST(:document_ids AS uuid[])) AS claimed (id) LEFT JOIN counted ON counted.document_id = claimed.id
    WHERE d.tenant_id = :tenant_id AND d.id = claimed.id
""")


# A vector of each text that is embedded already.
_KNOWN_EMBEDDINGS = text("""
    SELECT wanted.sha256, twin.embedding::text AS embedding
    FROM unnest(CAST(:hashes AS bytea[])) AS wanted (sha256)
    CROSS JOIN LATERAL (
        SELECT other.embedding FROM chunks AS other
        JOIN rag_indexes USING (tenant_id, project_id)
        WHERE other.text_sha256 = wanted.sha256 AND other.embedding IS NOT NULL
            AND rag_indexes.embedder = :embedder AND rag_indexes.dimensions = :dimensions
        LIMIT 1
    ) AS twin
""")


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A chunk to embed. `text` begins with its context.

    `embedding` is that of an equal text that the tenant has already, in pgvector's format.
    """

    chunk_id: UUID
    text: str
    embedding: str | None


@dataclass(frozen=True, slots=True)
class UnembeddedDocuments:
    """Documents of one project that were claimed for one batch of embeddings: one, or several small ones."""

    tenant_id: UUID
    document_ids: Sequence[UUID]
    model: EmbeddingModel
    failures: int


class LocalIndexRepository:
    """The index rows of one tenant, in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def create_index(
        self, project_id: UUID, *, vector_store_id: str, engine: str, embedder: str, dimensions: int | None
    ) -> str:
        """Create the index if there is none, and return the project's `vector_store_id`, the same for all callers."""
        await self._session.execute(
            insert(RagIndex)
            .values(
                tenant_id=self._tenant_id,
                project_id=project_id,
                vector_store_id=vector_store_id,
                engine=engine,
                embedder=embedder,
                dimensions=dimensions,
            )
            .on_conflict_do_nothing(index_elements=[RagIndex.tenant_id, RagIndex.project_id])
        )
        stored = await self._session.scalars(
            select(RagIndex.vector_store_id).where(
                RagIndex.tenant_id == self._tenant_id, RagIndex.project_id == project_id
            )
        )
        return stored.one()

    async def lock_project(self, project_id: UUID) -> None:
        """Lock the counts of a project for this transaction; other writers of them wait."""
        await advisory_lock(self._session, b"term-stats:" + project_id.bytes)

    async def find_index(self, project_id: UUID) -> RagIndex | None:
        return await self._session.get(RagIndex, (self._tenant_id, project_id))

    async def insert_chunks(self, project_id: UUID, rows: Sequence[ChunkRow]) -> None:
        await self._session.execute(
            INSERT_CHUNKS, {"tenant_id": self._tenant_id, "project_id": project_id, **columns(rows)}
        )

    async def insert_parts(self, rows: Sequence[PartRow]) -> None:
        await self._session.execute(INSERT_PARTS, {"tenant_id": self._tenant_id, **columns(rows)})

    async def count_terms(self, project_id: UUID, document_ids: Sequence[UUID]) -> None:
        """Add the chunks and parts of new documents to the project's document frequencies."""
        await self._session.execute(
            COUNT_TERMS, {"tenant_id": self._tenant_id, "project_id": project_id, "document_ids": document_ids}
        )

    async def add_to_sizes(self, project_id: UUID, difference: IndexSizes) -> bool:
        """Add to the project's sizes. Return False when the project has no index."""
        changed = await self._session.scalar(
            update(RagIndex)
            .where(RagIndex.tenant_id == self._tenant_id, RagIndex.project_id == project_id)
            .values({name: getattr(RagIndex, name) + added for name, added in difference._asdict().items()})
            .returning(RagIndex.chunk_count)
        )
        return changed is not None

    async def count_chunks(self, document_ids: Sequence[UUID]) -> int:
        counted = await self._session.scalars(
            select(func.count()).select_from(Chunk).where(Chunk.document_id == func.any(document_ids))
        )
        return counted.one()

    async def remove_chunks(self, project_id: UUID, document_id: UUID, row_limit: int) -> int:
        """Remove some of a document's chunks and their share of the counts. The caller holds the project's lock.

        `row_limit` is a multiple of the chunks of a part, so that a part goes with its chunks.
        """
        result = await self._session.execute(
            REMOVE_CHUNKS,
            {
                "tenant_id": self._tenant_id,
                "project_id": project_id,
                "document_id": document_id,
                "row_limit": row_limit,
            },
        )
        removed = IndexSizes(*result.one())
        if removed.chunk_count:
            await self.add_to_sizes(project_id, IndexSizes(*(-size for size in removed)))
        return removed.chunk_count

    async def delete_some(self, model: type[Chunk | TermStat], project_id: UUID, row_limit: int) -> int:
        """Delete some chunks or counts of a project whose index is removed, and return how many."""
        key = model.id if issubclass(model, Chunk) else model.term
        mine = (model.tenant_id == self._tenant_id, model.project_id == project_id)
        some = select(key).where(*mine).limit(row_limit)
        deleted = await self._session.execute(delete(model).where(*mine, key.in_(some)))
        return deleted.rowcount if isinstance(deleted, CursorResult) else 0

    async def delete_index(self, project_id: UUID) -> None:
        await self._session.execute(
            delete(RagIndex).where(RagIndex.tenant_id == self._tenant_id, RagIndex.project_id == project_id)
        )

    async def remove_unused_terms(self, project_id: UUID) -> None:
        """Remove the counts of terms that no chunk of the project holds any more."""
        await self._session.execute(
            delete(TermStat).where(
                TermStat.tenant_id == self._tenant_id, TermStat.project_id == project_id, TermStat.df <= 0
            )
        )

    async def next_unembedded(
        self, document_ids: Sequence[UUID], model: EmbeddingModel, row_limit: int
    ) -> list[Unembedded]:
        rows = await self._session.execute(
            _NEXT_UNEMBEDDED,
            {
                "document_ids": document_ids,
                "embedder": model.name,
                "dimensions": model.dimensions,
                "row_limit": row_limit,
            },
        )
        return [Unembedded(row.id, indexed_text(row.context, row.text), row.embedding) for row in rows]

    async def known_embeddings(self, hashes: Sequence[bytes], model: EmbeddingModel) -> dict[bytes, str]:
        """Return the vectors, in pgvector's format, of those texts that the tenant has embedded with the model."""
        values = {"hashes": hashes, "embedder": model.name, "dimensions": model.dimensions}
        return {row.sha256: row.embedding for row in await self._session.execute(_KNOWN_EMBEDDINGS, values)}

    async def settle_dimensions(self, document_id: UUID, model: EmbeddingModel) -> bool:
        """Record the dimensions with the project's first vectors. Return False when it has others already."""
        kept = await self._session.scalar(
            update(RagIndex)
            .where(
                RagIndex.tenant_id == self._tenant_id,
                RagIndex.project_id == Document.project_id,
                Document.tenant_id == self._tenant_id,
                Document.id == document_id,
                _is_of(model),
            )
            .values(dimensions=model.dimensions)
            .returning(RagIndex.dimensions)
        )
        return kept is not None

    async def postpone_embedding(self, document_ids: Sequence[UUID], pause: timedelta) -> None:
        """Let nobody claim the documents during the pause. The caller holds their rows."""
        await self._session.execute(
            update(Document)
            .where(Document.tenant_id == self._tenant_id, Document.id == func.any(list(document_ids)))
            .values(embedding_lease_until=func.now() + pause, embedding_failures=Document.embedding_failures + 1)
        )

    async def set_embeddings(self, document_ids: Sequence[UUID], embeddings: Sequence[tuple[UUID, str]]) -> None:
        """Store embeddings in pgvector's format, and let others claim the documents again.

        The caller holds the documents' rows, so that their counts stay exact.
        """
        await self._session.execute(
            _SET_EMBEDDINGS,
            {
                "tenant_id": self._tenant_id,
                "document_ids": list(document_ids),
                "ids": [chunk_id for chunk_id, _ in embeddings],
                "embeddings": [embedding for _, embedding in embeddings],
            },
        )


async def claim_unembedded_documents(session: AsyncSession, model: EmbeddingModel) -> UnembeddedDocuments | None:
    """Claim the oldest document of this model that nobody works on, or None. The session needs the system role.

    If it is small, others like it are claimed with it. One whose embedding has failed is claimed alone.
    """
    first = (await _claim(session, 1, _is_of(model))).one_or_none()
    if first is None:
        return None
    claimed = [first.id]
    if _is_small(first):
        of_project = (Document.tenant_id == first.tenant_id, Document.project_id == first.project_id)
        small = (Document.unembedded_count <= SMALL_DOCUMENT_CHUNKS, Document.embedding_failures == 0)
        claimed += [row.id for row in await _claim(session, SMALL_DOCUMENTS - 1, *of_project, *small)]
    kept = EmbeddingModel(first.embedder, first.dimensions)
    return UnembeddedDocuments(first.tenant_id, claimed, kept, first.embedding_failures)


def _is_small(row: Row[Any]) -> bool:
    return bool(row.unembedded_count <= SMALL_DOCUMENT_CHUNKS and row.embedding_failures == 0)


async def _claim(session: AsyncSession, most: int, *conditions: ColumnElement[bool]) -> Result[Any]:
    waiting = (
        select(Document.tenant_id, Document.id)
        .join(RagIndex, and_(RagIndex.tenant_id == Document.tenant_id, RagIndex.project_id == Document.project_id))
        .where(
            Document.hidden_at.is_(None),
            Document.unembedded_count > 0,
            or_(Document.embedding_lease_until.is_(None), Document.embedding_lease_until < func.now()),
            *conditions,
        )
        .order_by(Document.created_at, Document.id)
        .limit(most)
        .with_for_update(skip_locked=True, of=Document)
        .cte("waiting")
    )
    return await session.execute(
        update(Document)
        .where(Document.tenant_id == waiting.c.tenant_id, Document.id == waiting.c.id)
        .where(RagIndex.tenant_id == Document.tenant_id, RagIndex.project_id == Document.project_id)
        .values(embedding_lease_until=func.now() + EMBEDDING_LEASE)
        .returning(
            Document.tenant_id,
            Document.project_id,
            Document.id,
            Document.unembedded_count,
            Document.embedding_failures,
            RagIndex.embedder,
            RagIndex.dimensions,
        )
    )


def _is_of(model: EmbeddingModel) -> ColumnElement[bool]:
    """Return the condition for indexes of this model; one that has no vectors yet may take any length."""
    if model.dimensions is None:
        return RagIndex.embedder == model.name
    return and_(
        RagIndex.embedder == model.name,
        or_(RagIndex.dimensions.is_(None), RagIndex.dimensions == model.dimensions),
    )
