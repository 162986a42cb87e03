"""SQL of the stored documents, which is the same whatever engine searches them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.rag.answers.passage import Quote
from fastapi_ignite.rag.documents.models import Document
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.extraction.result import page_at
from fastapi_ignite.rag.extraction.structure import most_telling, spans_to_json

# About 10 MB; a file of millions of one-letter items could have more than the column takes.
MOST_SPANS = 200_000

_PROVE = text("""
    SELECT q.position FROM unnest(
        CAST(:documents AS uuid[]), CAST(:starts AS integer[]), CAST(:ends AS integer[]), CAST(:quotes AS text[])
    ) WITH ORDINALITY AS q (document_id, char_start, char_end, quote, position)
    JOIN documents AS d ON d.id = q.document_id
    WHERE d.hidden_at IS NULL AND substr(d.text, q.char_start + 1, q.char_end - q.char_start) = q.quote
""")


@dataclass(frozen=True, slots=True)
class DocumentFormat:
    """The format that was recognised by the content, and the number of pages, or None where there are none."""

    media_type: str
    pages: int | None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a document's text from the offset `start` on. The text has `total` characters in all."""

    text: str
    start: int
    total: int
    page_starts: Sequence[int] | None

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def page_of(self, offset: int) -> int | None:
        """Return the number of the page, from 1, on which the character at this offset is."""
        return page_at(self.page_starts, offset)


_LOCK = text("""
    SELECT pg_advisory_xact_lock(ordered.key)
    FROM (SELECT DISTINCT key FROM unnest(CAST(:keys AS bigint[])) AS key ORDER BY key) AS ordered
""")


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to store, with the number of its chunks and of those that have no embedding yet."""

    source: DocumentSource
    chunk_count: int
    unembedded_count: int


class DocumentRepository:
    """The documents of one tenant, in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def find(self, project_id: UUID, sha256: bytes) -> UUID | None:
        """Return the visible document that was made of these bytes, or None.

        Until the transaction ends, other callers with the same bytes wait here and the document cannot be hidden.
        """
        return (await self.find_each(project_id, [sha256])).get(sha256)

    async def find_each(self, project_id: UUID, hashes: Collection[bytes]) -> dict[bytes, UUID]:
        """Return the visible documents of these hashes, as `find` does."""
        await advisory_locks(self._session, [b"document-bytes:" + project_id.bytes + sha256 for sha256 in hashes])
        rows = await self._session.execute(self._of_bytes(project_id, hashes).with_for_update(read=True))
        return {row.sha256: row.id for row in rows}

    async def known(self, project_id: UUID, hashes: Collection[bytes]) -> set[bytes]:
        """Return those hashes of which the project has a visible document at the moment. Nothing is locked."""
        return {row.sha256 for row in await self._session.execute(self._of_bytes(project_id, hashes))}

    def _of_bytes(self, project_id: UUID, hashes: Collection[bytes]) -> Select[bytes, UUID]:
        return select(Document.sha256, Document.id).where(
            Document.tenant_id == self._tenant_id,
            Document.project_id == project_id,
            Document.sha256.in_(hashes),
            Document.hidden_at.is_(None),
        )

    async def lock(self, document_id: UUID) -> bool:
        """Lock a visible document until the transaction ends, so that nobody else changes or shares it.

        Returns False when there is no visible document with this id.
        """
        return bool(await self.lock_each([document_id]))

    async def lock_each(self, document_ids: Collection[UUID]) -> list[UUID]:
        """Lock the visible documents among these as `lock` does, and return their ids."""
        visible = (
            Document.tenant_id == self._tenant_id,
            Document.id == func.any(list(document_ids)),
            Document.hidden_at.is_(None),
        )
        locked = await self._session.scalars(
            select(Document.id).where(*visible).order_by(Document.id).with_for_update()
        )
        return list(locked)

    async def insert(self, documents: Sequence[NewDocument]) -> None:
        await self._session.execute(insert(Document), [self._values(document) for document in documents])

    def _values(self, document: NewDocument) -> dict[str, Any]:
        source, extracted = document.source, document.source.extracted
        starts, spans = extracted.page_starts, extracted.spans
        return {
            "tenant_id": self._tenant_id,
            "id": source.document_id,
            "project_id": source.project_id,
            "sha256": source.sha256,
            "media_type": extracted.media_type,
            "text": extracted.text,
            "char_count": len(extracted.text),
            "page_starts": None if starts is None else list(starts),
            "spans": spans_to_json(most_telling(spans, MOST_SPANS)) if spans else None,
            "chunk_count": document.chunk_count,
            "unembedded_count": document.unembedded_count,
        }

    async def hide(self, document_id: UUID) -> None:
        """Take the document out of every answer from the commit on."""
        await self._session.execute(update(Document).where(*self._visible(document_id)).values(hidden_at=func.now()))

    async def hide_some(self, project_id: UUID, limit: int) -> Sequence[int]:
        """Hide at most `limit` visible documents of a project. Return how many chunks each of them has."""
        visible = select(Document.id).where(
            Document.tenant_id == self._tenant_id, Document.project_id == project_id, Document.hidden_at.is_(None)
        )
        hidden = await self._session.scalars(
            update(Document)
            .where(Document.tenant_id == self._tenant_id, Document.id.in_(visible.limit(limit)))
            .values(hidden_at=func.now())
            .returning(Document.chunk_count)
        )
        return hidden.all()

    async def delete_some(self, project_id: UUID, limit: int) -> int:
        """Delete at most `limit` documents of a project, and return how many."""
        some = select(Document.id).where(Document.tenant_id == self._tenant_id, Document.project_id == project_id)
        deleted = await self._session.scalars(
            delete(Document)
            .where(Document.tenant_id == self._tenant_id, Document.id.in_(some.limit(limit)))
            .returning(Document.id)
        )
        return len(deleted.all())

    async def project_of_hidden(self, document_id: UUID) -> UUID | None:
        """Return the project of a document that is hidden and still has its row, or None."""
        return await self._session.scalar(
            select(Document.project_id).where(
                Document.tenant_id == self._tenant_id, Document.id == document_id, Document.hidden_at.is_not(None)
            )
        )

    async def delete(self, document_id: UUID) -> None:
        await self._session.execute(
            delete(Document).where(Document.tenant_id == self._tenant_id, Document.id == document_id)
        )

    async def embedded_shares(self, project_id: UUID, documents: Collection[UUID] | None = None) -> dict[UUID, float]:
        """Return how much of each visible document of the project, or of these ones, is embedded, between 0 and 1."""
        statement = select(Document.id, Document.chunk_count, Document.unembedded_count).where(
            Document.tenant_id == self._tenant_id, Document.project_id == project_id, Document.hidden_at.is_(None)
        )
        if documents is not None:
            statement = statement.where(Document.id == func.any(list(documents)))
        rows = await self._session.execute(statement)
        return {row.id: 1 - row.unembedded_count / max(row.chunk_count, 1) for row in rows}

    async def formats(self, documents: Collection[UUID]) -> dict[UUID, DocumentFormat]:
        """Return the format of each of these documents that is visible."""
        rows = await self._session.execute(
            select(Document.id, Document.media_type, func.cardinality(Document.page_starts).label("pages")).where(
                Document.tenant_id == self._tenant_id,
                Document.id == func.any(list(documents)),
                Document.hidden_at.is_(None),
            )
        )
        return {row.id: DocumentFormat(row.media_type, row.pages) for row in rows}

    async def excerpt(self, document_id: UUID, *, start: int, end: int) -> Excerpt | None:
        """Return the text between two offsets in code points, the end exclusive, or None if there is no document."""
        row = (
            await self._session.execute(
                select(
                    func.substr(Document.text, start + 1, end - start).label("text"),
                    Document.char_count,
                    Document.page_starts,
                ).where(*self._visible(document_id))
            )
        ).one_or_none()
        return Excerpt(row.text, start, row.char_count, row.page_starts) if row else None

    async def prove(self, quotes: Sequence[Quote]) -> list[Quote]:
        """Return the quotes that stand in a visible document word for word, at the offsets they name."""
        proven = await self._session.scalars(
            _PROVE,
            {
                "documents": [quote.document_id for quote in quotes],
                "starts": [quote.char_start for quote in quotes],
                "ends": [quote.char_end for quote in quotes],
                "quotes": [quote.text for quote in quotes],
            },
        )
        positions = set(proven)
        return [quote for position, quote in enumerate(quotes, start=1) if position in positions]

    async def all_visible(self, document_ids: Collection[UUID]) -> bool:
        """Return whether none of these documents was hidden or removed."""
        visible = await self._session.scalar(
            select(func.count()).where(
                Document.tenant_id == self._tenant_id,
                Document.id == func.any(list(document_ids)),
                Document.hidden_at.is_(None),
            )
        )
        return visible == len(document_ids)

    def _visible(self, document_id: UUID) -> tuple[ColumnElement[bool], ...]:
        return Document.tenant_id == self._tenant_id, Document.id == document_id, Document.hidden_at.is_(None)


async def advisory_lock(session: AsyncSession, name: bytes) -> None:
    """Wait for the lock of this name, and hold it until the transaction ends."""
    await advisory_locks(session, [name])


async def advisory_locks(session: AsyncSession, names: Collection[bytes]) -> None:
    """Wait for the locks of these names. All callers take them in one order, so that none waits for the other."""
    keys = [int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True) for name in names]
    await session.execute(_LOCK, {"keys": keys})
