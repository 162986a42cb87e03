"""Hides a document from every answer when the last file with this document is removed or replaced."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import RagEngine


async def hide_unless_shared(
    session: AsyncSession, engine: RagEngine, tenant_id: UUID, document_id: UUID | None, *, besides: UUID
) -> UUID | None:
    """Hide the document of the file `besides`, and return its id, or None if another file has the same one."""
    if document_id is None:
        return None
    await DocumentRepository(session, tenant_id).lock(document_id)
    if await FileRepo(session, tenant_id).others_share(document_id, besides=besides):
        return None
    await engine.hide(session, tenant_id, document_id)
    return document_id
