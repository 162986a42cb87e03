"""Removes pending versions and the bytes of earlier ones, in the caller's transaction. A worker does the rest."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.deletions.models import Kind
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion.models import UNFINISHED, File, FileState
from fastapi_ignite.ingestion.tasks import delete_file
from fastapi_ignite.usage.service import UsageService


class VersionRemover:
    """Removes versions whose rows are locked. Each has a deletion with the id of its row, as a removed file has."""

    def __init__(self, session: AsyncSession, jobs: JobQueue, tenant_id: UUID) -> None:
        self._session = session
        self._jobs = jobs
        self._tenant_id = tenant_id

    async def release(self, pending: File) -> None:
        """Give back the characters of a version that is going to be dropped.

        It is called before anything is written, because everybody locks in one order: files, the counter of
        characters, documents, uploads, and the sum of files, which a trigger changes.
        """
        if pending.reservation_id and pending.state in UNFINISHED:
            await UsageService(self._session, self._tenant_id).release(pending.reservation_id)

    async def remove_bytes(self, versions: Iterable[File]) -> None:
        """Remove the stored bytes of versions. Their rows stay, and a worker on a pending one loses its attempt."""
        for version in versions:
            version.delete_raw = True
            await self.begin(version, document_id=None)

    async def begin(self, version: File, *, document_id: UUID | None) -> None:
        """Let a worker remove what the version left, with a hidden document of its own."""
        version.state = FileState.DELETING
        version.attempt += 1
        version.lease_until = None
        await self._session.flush()
        await DeletionRepo(self._session, self._tenant_id).begin(
            Kind.FILE, version.id, project_id=version.project_id, document_id=document_id
        )
        self._jobs.enqueue(self._session, delete_file, self._tenant_id, version.id)
