"""Reads what callers see of files: their rows, and what is known of their documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.ingestion.models import File
from fastapi_ignite.ingestion.schemas import FileRead
from fastapi_ignite.ingestion.version_repository import VersionRepo
from fastapi_ignite.rag.documents.repository import DocumentFormat, DocumentRepository
from fastapi_ignite.rag.engine import RagEngine


async def read_details(
    session: AsyncSession, engine: RagEngine, tenant_id: UUID, project_id: UUID, files: Sequence[File]
) -> list[FileRead]:
    """Return the details of files of one project, in the same order. It reads the documents of these files only."""
    documents = {file.document_id for file in files if file.document_id}
    versions = await VersionRepo(session, tenant_id).of_files(files)
    embedded: Mapping[UUID, float] = {}
    formats: Mapping[UUID, DocumentFormat] = {}
    if documents:
        embedded = await engine.embedded(session, tenant_id, project_id, documents)
        formats = await DocumentRepository(session, tenant_id).formats(documents)
    return [FileRead.of(file, embedded, formats, versions.get(file.id)) for file in files]
