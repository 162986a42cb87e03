"""Makes a version that is ready the current one of its file, in the transaction that writes its document."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.jobs.leases import StaleAttemptError
from fastapi_ignite.ingestion.models import File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.shared_documents import hide_unless_shared
from fastapi_ignite.ingestion.version_removal import VersionRemover
from fastapi_ignite.ingestion.version_repository import VersionRepo
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import RagEngine

# what a version and its file exchange; everything else of the file stays, such as its id, its batch and its name's age
EXCHANGED = (
    "filename",
    "byte_count",
    "sha256",
    "storage_key",
    "bytes_missing_at",
    "char_count",
    "deduplicated",
    "completed_at",
    "version",
    "uploaded_at",
    "uploaded_by",
)


class VersionSwap:
    """Swaps one version and its file. From the commit on every search finds the new content and never the old one.

    The rows of file and version change places. So the new content has the file's id. The old content becomes a
    version, and a worker removes its hidden document, as it does for a removed file.
    """

    def __init__(
        self, session: AsyncSession, jobs: JobQueue, engine: RagEngine, tenant_id: UUID, *, versions_kept: int
    ) -> None:
        self._session = session
        self._jobs = jobs
        self._engine = engine
        self._tenant_id = tenant_id
        self._versions_kept = versions_kept

    async def lock(self, version: File) -> File | None:
        """Lock the version's file, and the documents of both. Return None for a file that is no version.

        It comes before every other lock of the transaction. Two files that exchange their contents take the locks of
        the documents in one order.

        Raises:
            StaleAttemptError: The file is removed.
        """
        if version.version_of is None:
            return None
        file = await VersionRepo(self._session, self._tenant_id).lock_file(version.version_of)
        if file is None:
            raise StaleAttemptError
        documents = DocumentRepository(self._session, self._tenant_id)
        await documents.find_each(file.project_id, {version.sha256, file.sha256})
        return file

    async def swap(self, version: File, file: File, *, document_id: UUID, char_count: int, shared: bool) -> None:
        """Give the locked file the content of the version, whose document is written.

        Raises:
            StaleAttemptError: The version moved on without its attempt.
        """
        now = clock.now()
        was_found = file.document_id is not None
        hidden = await hide_unless_shared(
            self._session, self._engine, self._tenant_id, file.document_id, besides=file.id
        )
        old = {name: getattr(file, name) for name in EXCHANGED}
        new = {name: getattr(version, name) for name in EXCHANGED}
        new |= {"char_count": char_count, "deduplicated": shared, "completed_at": now}
        await FileRepo(self._session, self._tenant_id).advance(
            version.id, version.attempt, **old, replaced_at=now if was_found else None, last_error=None
        )
        for name, value in new.items():
            setattr(file, name, value)
        file.document_id = document_id
        file.state = FileState.COMPLETED
        file.last_error = None
        await self._session.flush()
        await self._put_away(version.id, document_id=hidden)

    async def _put_away(self, version_id: UUID, *, document_id: UUID | None) -> None:
        """Begin to remove what was replaced, and the bytes of versions that are not kept any more."""
        replaced = await self._session.get_one(File, (self._tenant_id, version_id), populate_existing=True)
        remover = VersionRemover(self._session, self._jobs, self._tenant_id)
        if replaced.replaced_at is None or replaced.version_of is None:
            replaced.delete_raw = True  # it never answered, so it cannot be restored
        await remover.begin(replaced, document_id=document_id)
        if replaced.version_of is not None:
            versions = VersionRepo(self._session, self._tenant_id)
            await remover.remove_bytes(await versions.stored(replaced.version_of, besides_newest=self._versions_kept))
