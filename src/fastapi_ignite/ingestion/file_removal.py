"""Removes in a worker what a deleted file left behind."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from fastapi_ignite.core import clock
from fastapi_ignite.deletions.models import Deletion
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.deletions.runner import DeletionRunner
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import StaleAttemptError
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.ingestion.leftovers import abandon_leftovers
from fastapi_ignite.ingestion.models import FINISHED, File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.engine import Purged, RagEngine, StoreMaintenance


class FileRemover:
    """Takes a file from `deleting` to `deleted`."""

    def __init__(self, *, database: Database, storage: Storage, engines: Mapping[str, RagEngine]) -> None:
        self._database = database
        self._storage = storage
        self._engines = engines

    async def run(self, tenant_id: UUID, file_id: UUID) -> None:
        """Remove what the file left, if nobody else does. It is safe to call at any time and any number of times."""
        await DeletionRunner(self._database).run(tenant_id, file_id, self._remove)

    async def _remove(self, deletion: Deletion) -> None:
        async with self._database.tenant(deletion.tenant_id) as session:
            file = await FileRepo(session, deletion.tenant_id).being_removed(deletion.id)
            if file is None:  # its project is deleted; that deletion ends this one too
                raise StaleAttemptError
            project = await ProjectService(session, deletion.tenant_id).get(file.project_id)
        purged = await self._purge(engine_of(project.engine, self._engines), deletion, file)
        removes_bytes = bool(file.delete_raw and file.storage_key)
        if file.delete_raw and file.storage_key:
            await self._storage.delete(file.storage_key)
        async with self._database.tenant(deletion.tenant_id) as session:
            await FileRepo(session, deletion.tenant_id).set_removed(file, now=clock.now())
            deletions = DeletionRepo(session, deletion.tenant_id)
            await deletions.add_provider_ids(deletion, purged.provider_ids)
            await deletions.add_counts(
                deletion,
                files=0 if deletion.files or file.version_of else 1,
                chunks=purged.chunks,
                bytes=file.stored_bytes if removes_bytes else 0,
            )
            await deletions.complete(deletion)
        FINISHED.labels("deleted", "").inc()

    async def _purge(self, engine: RagEngine, deletion: Deletion, file: File) -> Purged:
        if deletion.document_id:
            return await engine.purge(file.tenant_id, deletion.document_id)
        if isinstance(engine, StoreMaintenance):
            await abandon_leftovers(self._database, engine, file, FileState.DELETING)
            return await engine.discard(file.tenant_id, file.project_id, file.sha256)
        return Purged()
