"""Cancels unfinished files, and queues failed or cancelled ones again."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs.tracing import REQUEST_ID, trace
from fastapi_ignite.ingestion.errors import (
    BatchUnknownError,
    ContentNotStoredError,
    FileFinishedError,
    FileUnknownError,
)
from fastapi_ignite.ingestion.models import UNFINISHED, File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.resources import TenantResources
from fastapi_ignite.ingestion.tasks import clear_up_cancelled_file, process_file
from fastapi_ignite.ingestion.upload_reservation import require_place_in_queue
from fastapi_ignite.ingestion.version_removal import VersionRemover
from fastapi_ignite.ingestion.version_repository import VersionRepo
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.models import Project
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.engine import StoreMaintenance
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService

# A trigger changes one row for each cancelled file, and so many changes of a row in one transaction are still quick.
CANCELLED_AT_ONCE = 200


class FileControlService:
    """Stops and restarts the processing of a tenant's files. It opens its own short transactions.

    Each change locks the row of the file first. The worker's last write locks it too, so that a file is either
    cancelled, and the worker's attempt changes nothing any more, or it is finished, and cannot be cancelled.
    """

    def __init__(self, resources: TenantResources) -> None:
        self._resources = resources
        self._database = resources.database
        self._tenant_id = resources.tenant_id

    async def cancel(self, project_id: UUID, file_id: UUID) -> None:
        """Drop the file's pending version, or else cancel an unfinished file. A cancelled one is left as it is.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
            FileFinishedError: The file is completed or has failed.
        """
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            file = await self._locked(session, project_id, file_id)
            if file.version_of:
                remover = VersionRemover(session, self._resources.jobs, self._tenant_id)
                await remover.release(file)
                await remover.remove_bytes([file])
            elif file.state == FileState.CANCELLED:
                return
            elif file.state in UNFINISHED:
                await self._cancel(session, project, [file])
            else:
                raise FileFinishedError(f"The file is {file.state} and cannot be cancelled any more.", stage=file.state)
            AuditLog(session).record(
                self._tenant_id,
                Action.FILE_CANCELLED,
                file_id,
                project_id=str(project_id),
                filename=file.filename,
                version=file.version,
            )

    async def cancel_batch(self, project_id: UUID, batch_id: UUID) -> None:
        """Cancel the unfinished files of an upload, some hundred in each transaction. Finished ones stay.

        Raises:
            ProjectNotFoundError, BatchUnknownError: The id is unknown.
        """
        while True:
            async with self._database.tenant(self._tenant_id) as session:
                project = await ProjectService(session, self._tenant_id).get(project_id)
                files = FileRepo(session, self._tenant_id)
                unfinished = await files.lock_unfinished(project_id, batch_id, limit=CANCELLED_AT_ONCE)
                if not unfinished:
                    if not await files.batch_states(project_id, batch_id):
                        raise BatchUnknownError("This project has no batch with this id.")
                    return
                await self._cancel(session, project, unfinished)
                AuditLog(session).record(
                    self._tenant_id,
                    Action.FILES_CANCELLED,
                    project_id,
                    batch_id=str(batch_id),
                    files=len(unfinished),
                )

    async def retry(self, project_id: UUID, file_id: UUID) -> None:
        """Queue a failed or cancelled file, or its pending version, again, as if it was just uploaded.

        An unfinished one is left as it is.

        Raises:
            ProjectNotFoundError, FileUnknownError: The id is unknown.
            FileFinishedError: The file is completed.
            ContentNotStoredError: The uploaded bytes are not stored any more.
            SubscriptionRequiredError: The tenant has no plan.
            QuotaExceededError: No character is left.
            TooManyFilesInProgressError: The tenant has as many unfinished files as it may.
        """
        async with self._database.tenant(self._tenant_id) as session:
            await ProjectService(session, self._tenant_id).get(project_id)
            file = await self._locked(session, project_id, file_id)
        # no transaction is open while the storage looks
        stored_key = file.storage_key
        if stored_key and not await self._resources.storage.exists(stored_key):
            stored_key = None
        async with self._database.tenant(self._tenant_id) as session:
            file = await self._locked(session, project_id, file_id)
            if file.state in UNFINISHED:
                return
            if file.state == FileState.COMPLETED:
                raise FileFinishedError("The file is completed, so there is nothing to retry.", stage=file.state)
            if not stored_key or file.storage_key != stored_key:
                raise ContentNotStoredError(
                    "The uploaded bytes of this file are not stored any more. Upload the file again."
                )
            await self._require_characters(session, file)
            await require_place_in_queue(session, self._tenant_id, self._resources.settings.upload)
            file.state = FileState.QUEUED
            file.attempts_before = file.attempt
            file.waits = 0
            file.queued_at = file.notified_at = clock.now()
            file.lease_until = file.last_error = file.reservation_id = file.char_count = None
            file.request_id = trace().get(REQUEST_ID)
            file.bytes_missing_at = None
            AuditLog(session).record(
                self._tenant_id,
                Action.FILE_RETRIED,
                file_id,
                project_id=str(project_id),
                filename=file.filename,
                version=file.version,
            )
            self._resources.jobs.enqueue(session, process_file, self._tenant_id, file.id)

    async def _locked(self, session: AsyncSession, project_id: UUID, file_id: UUID) -> File:
        """Return what a worker has, or would get: the file's pending version, or else the file. Both are locked."""
        file = await FileRepo(session, self._tenant_id).get(project_id, file_id, lock=True)
        if file is None:
            raise FileUnknownError("This project has no file with this id.")
        return await VersionRepo(session, self._tenant_id).lock_pending(file_id) or file

    async def _cancel(self, session: AsyncSession, project: Project, files: Sequence[File]) -> None:
        """Cancel files whose rows are locked. The new attempt number stops their workers."""
        keeps_objects = isinstance(engine_of(project.engine, self._resources.engines), StoreMaintenance)
        usage = UsageService(session, self._tenant_id)
        for file in files:
            if file.reservation_id:
                await usage.release(file.reservation_id)
        for file in files:
            if keeps_objects and file.attempt:
                self._resources.jobs.enqueue(session, clear_up_cancelled_file, self._tenant_id, file.id)
            file.state = FileState.CANCELLED
            file.attempt += 1
            file.attempts_before += 1
            file.lease_until = file.last_error = file.char_count = None

    async def _require_characters(self, session: AsyncSession, file: File) -> None:
        """Raise QuotaExceededError if no character is left, unless the bytes are free.

        They are if the project has an equal file, or if an earlier version of the same file had them.
        """
        try:
            await UsageService(session, self._tenant_id).require_room(Metric.CHARACTERS)
        except QuotaExceededError:
            if await FileRepo(session, self._tenant_id).any_equal(file.project_id, [file.sha256]):
                return
            versions = VersionRepo(session, self._tenant_id)
            if not (file.version_of and await versions.is_paid(file.version_of, file.sha256)):
                raise
