"""Uploads, lists and removes files. No transaction is open while it waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.deletions.models import Kind
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.infra.idempotency import Claim, IdempotentWork, KeyedRequest
from fastapi_ignite.infra.storage import ReceivedFile, UploadBody
from fastapi_ignite.ingestion.attributes import FIELD
from fastapi_ignite.ingestion.errors import FileUnknownError
from fastapi_ignite.ingestion.file_details import read_details
from fastapi_ignite.ingestion.incoming_upload import IncomingUpload
from fastapi_ignite.ingestion.models import GONE, UNFINISHED, File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.resources import TenantResources
from fastapi_ignite.ingestion.schemas import (
    FileCounts,
    FileList,
    FileRead,
    FileRemoved,
    UploadResult,
    VectorStoreEnsured,
)
from fastapi_ignite.ingestion.shared_documents import hide_unless_shared
from fastapi_ignite.ingestion.tasks import delete_file, process_file
from fastapi_ignite.ingestion.upload_reception import UploadReception, wait_while
from fastapi_ignite.ingestion.version_removal import VersionRemover
from fastapi_ignite.ingestion.version_repository import VersionRepo
from fastapi_ignite.projects.models import Project
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.service import UsageService

# Each message wakes one thread of a worker, which sends another one as long as files wait.
MESSAGES_OF_AN_UPLOAD = 64


class IngestionService:
    """The files of one tenant. It opens its own short transactions."""

    def __init__(self, resources: TenantResources) -> None:
        self._resources = resources
        self._database = resources.database
        self._tenant_id = resources.tenant_id
        self._reception = UploadReception(resources, field_name="files")

    async def ensure_vector_store(self, project_id: UUID, claim: Claim | None) -> VectorStoreEnsured:
        """Make the project's vector store if there is none.

        Raises:
            ProjectNotFoundError: The id is unknown.
            IdempotencyConflictError: The same request was made before.
        """
        async with IdempotentWork(self._database, claim) as work:
            async with self._database.tenant(self._tenant_id) as session:
                await work.begin(session)
                await ProjectService(session, self._tenant_id).get(project_id)
            vector_store_id, created = await self._ensure_index(project_id)
            ensured = VectorStoreEnsured(
                project_id=project_id, vector_store_id=vector_store_id, status="created" if created else "exists"
            )
            if work.is_keyed:
                async with self._database.tenant(self._tenant_id) as session:
                    await work.complete(session, ensured)
        return ensured

    async def _ensure_index(self, project_id: UUID) -> tuple[str, bool]:
        """Return the project's vector store id and whether it is new. No transaction is open while it is made."""
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
        if project.vector_store_id:
            return project.vector_store_id, False
        engine = self._resources.engine_of(project)
        made = await engine.create_index(self._tenant_id, project_id)
        async with self._database.tenant(self._tenant_id) as session:
            return await ProjectService(session, self._tenant_id).link_index(
                project_id, engine=engine.name, vector_store_id=made
            )

    async def upload(
        self,
        project_id: UUID,
        body: UploadBody,
        keyed: KeyedRequest | None,
        *,
        wait_seconds: int,
        caller_left: Callable[[], Awaitable[bool]],
    ) -> UploadResult:
        """Store the files of the body, queue them, and wait until they are searchable or the caller left.

        Raises as `UploadReception.admit` and `receive` do, and:
            QuotaExceededError: Every file was refused because no character is left.
        """
        upload = await self._reception.admit(project_id, keyed, declared_bytes=body.declared_bytes())

        async def accept(upload: IncomingUpload, received: Sequence[ReceivedFile], work: IdempotentWork) -> bool:
            return await self._accept(upload, received, body.values.get(FIELD, {}), work)

        work = await self._reception.receive(upload, body, keyed, accept)
        try:
            result = await self.wait(project_id, upload.id, seconds=wait_seconds, caller_left=caller_left)
        except QuotaExceededError:
            await work.replace_result(None)
            raise
        await work.replace_result(result)
        return result

    async def _accept(
        self,
        upload: IncomingUpload,
        received: Sequence[ReceivedFile],
        attributes: Mapping[str, Any],
        work: IdempotentWork,
    ) -> bool:
        """Commit the rows, what was held for them, the claim with the answer so far, and the messages at once.

        Raises:
            QuotaExceededError: No character is left, and the project has none of these files already.
        """
        # sorted: ids of one millisecond are in no order, and lists follow the ids
        ids = sorted(new_id() for _ in received)
        rows = [self._reception.row(upload, *pair, attributes) for pair in zip(ids, received, strict=True)]
        if not upload.has_index:
            await self._ensure_index(upload.project_id)
        async with work, self._database.tenant(self._tenant_id) as session:
            await work.begin(session)
            project = await ProjectService(session, self._tenant_id).get(upload.project_id, keep=True)
            files = FileRepo(session, self._tenant_id)
            hashes = [file.stored.sha256 for file in received]
            if upload.refusal and not (upload.stores and await files.any_equal(upload.project_id, hashes)):
                raise upload.refusal
            await upload.settle(session)
            await files.add_all(rows)
            AuditLog(session).record(
                self._tenant_id,
                Action.FILES_UPLOADED,
                upload.project_id,
                batch_id=str(upload.id),
                files=len(rows),
            )
            counts = FileCounts.of(Counter(row.state for row in rows))
            details = [FileRead.of(row, {}, {}) for row in rows]
            await work.complete(
                session, UploadResult.of(upload.project_id, project.vector_store_id or "", upload.id, counts, details)
            )
            queued = [row for row in rows if row.state == FileState.QUEUED]
            for row in queued[:MESSAGES_OF_AN_UPLOAD]:
                self._resources.jobs.enqueue(session, process_file, self._tenant_id, row.id)
        return True

    async def wait(
        self, project_id: UUID, batch_id: UUID, *, seconds: int, caller_left: Callable[[], Awaitable[bool]]
    ) -> UploadResult:
        """Return the batch when all its files are done, when `seconds` are over, or when the caller left.

        Raises:
            QuotaExceededError: Every file was refused because no character is left.
        """

        async def unfinished() -> bool:
            async with self._database.tenant(self._tenant_id) as session:
                return await FileRepo(session, self._tenant_id).any_unfinished(batch_id)

        await wait_while(unfinished, seconds=seconds, caller_left=caller_left)
        async with self._database.tenant(self._tenant_id) as session:
            files = await FileRepo(session, self._tenant_id).batch(batch_id)
            _raise_if_all_over_quota(files)
            project = await ProjectService(session, self._tenant_id).get(project_id)
            kept = [file for file in files if file.state not in GONE]
            details = await read_details(session, self._resources.engine_of(project), self._tenant_id, project_id, kept)
        counts = FileCounts.of(Counter(file.state for file in files))
        return UploadResult.of(project_id, project.vector_store_id or "", batch_id, counts, details)

    async def list_files(self, project_id: UUID, *, limit: int, after: UUID | None, removed: bool) -> FileList:
        """Return a page of the project's files, oldest first; or of the removed ones whose bytes are still stored."""
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            files = await FileRepo(session, self._tenant_id).page(
                project_id, limit=limit + 1, after=after, removed=removed
            )
            page = files[:limit]
            engine = self._resources.engine_of(project)
            embedded = await engine.embedded(session, self._tenant_id, project_id)
            details = await read_details(session, engine, self._tenant_id, project_id, page)
        more = len(files) > limit
        return FileList(
            project_id=project_id,
            vector_store_id=project.vector_store_id,
            embedded=round(sum(embedded.values()) / len(embedded), 4) if embedded else 1.0,
            files=details,
            has_more=more,
            next_after=page[-1].id if more else None,
        )

    async def remove(self, project_id: UUID, file_id: UUID, *, delete_raw: bool) -> FileRemoved:
        """Take the file out of every answer now. Work in progress on it, and on a new version, ends without effect.

        With `delete_raw` the bytes of all versions are removed. It also takes a file that was removed before while its
        bytes were kept.
        """
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            files = FileRepo(session, self._tenant_id)
            file = await files.get(project_id, file_id, lock=True)
            was_removed = file is None
            if file is None and delete_raw:
                file = await files.get_kept_raw(project_id, file_id)
            if file is None:
                raise FileUnknownError("This project has no file with this id.")
            versions = VersionRepo(session, self._tenant_id)
            remover = VersionRemover(session, self._resources.jobs, self._tenant_id)
            pending = await versions.lock_pending(file_id)
            if pending:
                await remover.release(pending)
            hidden = None if was_removed else await self._take_out(session, project, file)
            await remover.remove_bytes(
                [*([pending] if pending else []), *(await versions.stored(file_id) if delete_raw else [])]
            )
            file.state = FileState.DELETING
            file.attempt += 1
            file.lease_until = None
            file.delete_raw = delete_raw
            await session.flush()
            await DeletionRepo(session, self._tenant_id).begin(
                Kind.FILE, file_id, project_id=project_id, document_id=hidden
            )
            AuditLog(session).record(
                self._tenant_id,
                Action.FILE_REMOVED,
                file_id,
                project_id=str(project_id),
                filename=file.filename,
                delete_raw=delete_raw,
            )
            self._resources.jobs.enqueue(session, delete_file, self._tenant_id, file_id)
        return FileRemoved(
            project_id=project_id,
            vector_store_id=project.vector_store_id,
            removed_file_id=file_id,
            delete_raw=delete_raw,
            deletion_id=file_id,
        )

    async def _take_out(self, session: AsyncSession, project: Project, file: File) -> UUID | None:
        """Take the file out of every answer, and release its characters if the work was not done yet.

        Return the document that goes with it, or None if another file has the same one.
        """
        if file.reservation_id and file.state in UNFINISHED:
            await UsageService(session, self._tenant_id).release(file.reservation_id)
        engine = self._resources.engine_of(project)
        hidden = await hide_unless_shared(session, engine, self._tenant_id, file.document_id, besides=file.id)
        file.document_id = None
        return hidden


def _raise_if_all_over_quota(files: Sequence[File]) -> None:
    errors = [file.last_error or {} for file in files if file.state == FileState.FAILED]
    over = [error for error in errors if error.get("code") == QuotaExceededError.code]
    if files and len(over) == len(files):
        raise QuotaExceededError(over[0]["message"], **over[0].get("quota", {}))
