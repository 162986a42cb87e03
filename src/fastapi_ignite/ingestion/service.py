"""Uploading, listing and removing files. Nothing here waits with a database session in its hands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.idempotency import KeyedRequest, answer_of
from fastapi_ignite.http.multipart import MultipartReader, ReceivedFile
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import Answer, Claim, IdempotencyStore, owner_alive
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.ingestion.errors import (
    EmptyFileError,
    FileUnknownError,
    NoFilesError,
    StorageFullError,
    TooMuchInFlightError,
)
from fastapi_ignite.ingestion.jobs import DELETE_FILE, PROCESS_FILE
from fastapi_ignite.ingestion.models import UNFINISHED, File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.schemas import FileList, FileRead, FileRemoved, UploadResult, VectorStoreEnsured, failure
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.engines import engine_named
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import QuotaExceededError, UsageService

FIRST_LOOK_SECONDS = 0.05
LAST_LOOK_SECONDS = 0.5


class IngestionService:
    """The files of one tenant. Opens its own short transactions."""

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        jobs: JobQueue,
        engines: Mapping[str, RagEngine],
        settings: Settings,
        tenant_id: UUID,
    ) -> None:
        self._database = database
        self._storage = storage
        self._jobs = jobs
        self._engines = engines
        self._settings = settings
        self._tenant_id = tenant_id

    def _engine(self, name: str | None) -> RagEngine:
        return engine_named(self._engines, name or self._settings.default_engine)

    async def ensure_vector_store(self, project_id: UUID, claim: Claim | None) -> VectorStoreEnsured:
        """The project's vector store, made if there is none.

        Raises:
            ProjectNotFoundError: unknown project.
            IdempotencyConflictError: the same request was made before.
        """
        async with self._database.tenant(self._tenant_id) as session:
            if claim:
                await IdempotencyStore(session).claim(claim)
            await ProjectService(session, self._tenant_id).get(project_id)
        try:
            async with owner_alive(self._database, claim):
                vector_store_id, created = await self._ensure_index(project_id)
            ensured = VectorStoreEnsured(
                project_id=project_id, vector_store_id=vector_store_id, status="created" if created else "exists"
            )
            if claim:
                async with self._database.tenant(self._tenant_id) as session:
                    await self._complete(session, claim, project_id, answer_of(ensured))
        except BaseException:
            if claim:
                async with self._database.tenant(self._tenant_id) as session:
                    await IdempotencyStore(session).release(claim)
            raise
        return ensured

    async def _ensure_index(self, project_id: UUID) -> tuple[str, bool]:
        """The project's vector store id and whether it is new. The engine works outside transactions."""
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
        if project.vector_store_id:
            return project.vector_store_id, False
        engine = self._engine(None)
        made = await engine.create_index(self._tenant_id, project_id)
        async with self._database.tenant(self._tenant_id) as session:
            return await ProjectService(session, self._tenant_id).link_index(
                project_id, engine=engine.name, vector_store_id=made
            )

    async def _complete(
        self, session: AsyncSession, claim: Claim, project_id: UUID, answer: Answer | None = None
    ) -> None:
        resource = f"{self._settings.app.api_prefix}/v1/ingestion/projects/{project_id}/files"
        await IdempotencyStore(session).complete(claim, resource=resource, answer=answer)

    async def admit(self, project_id: UUID) -> None:
        """Refuse an upload before its body is read.

        Raises:
            ProjectNotFoundError: unknown project.
            SubscriptionRequiredError: no plan.
            QuotaExceededError: no character is left.
            StorageFullError: no byte is left.
            TooMuchInFlightError: too many unfinished files.
        """
        bounds = self._settings.upload
        async with self._database.tenant(self._tenant_id) as session:
            await ProjectService(session, self._tenant_id).get(project_id)
            await UsageService(session, self._tenant_id).require_room(Metric.CHARACTERS)
            load = await FileRepo(session, self._tenant_id).load()
        if load.stored_bytes >= bounds.max_stored_bytes:
            raise StorageFullError(
                "This tenant's stored files are as large as they may be; remove some with delete_raw=true.",
                cap=bounds.max_stored_bytes,
                used=load.stored_bytes,
            )
        if load.unfinished_files >= bounds.max_queued_files:
            raise TooMuchInFlightError(
                f"{load.unfinished_files} files are still in progress; wait for some of them.",
                headers={"Retry-After": "30"},
            )

    async def receive(
        self, project_id: UUID, reader: MultipartReader, keyed: KeyedRequest | None
    ) -> tuple[UUID, Claim | None]:
        """Read the body into storage and queue its files, all or none; returns the batch id and the claim made.

        Raises:
            IdempotencyConflictError: the same files were sent before; these ones are dropped.
        """
        batch_id = new_id()
        try:
            received = await reader.read()
            if not received:
                raise NoFilesError("Send at least one file in the form field 'files'.")
            if all(file.stored.byte_count == 0 for file in received):
                raise EmptyFileError("The file has no bytes.", filenames=[file.filename for file in received][:20])
            # sorted: ids of one millisecond are in no order, and lists follow the ids
            ids = sorted(new_id() for _ in received)
            files = [self._row(project_id, batch_id, *pair) for pair in zip(ids, received, strict=True)]
            claim = keyed.claim(_digest(received)) if keyed else None
            await self._ensure_index(project_id)
            async with self._database.tenant(self._tenant_id) as session:
                if claim:
                    await IdempotencyStore(session).claim(claim)
                await FileRepo(session, self._tenant_id).add_all(files)
                AuditLog(session).record(
                    self._tenant_id, Action.FILES_UPLOADED, project_id, batch_id=str(batch_id), files=len(files)
                )
                if claim:
                    await self._complete(session, claim, project_id)
        except BaseException:
            for file in reader.received:
                await self._storage.delete(file.stored.key)
            raise
        await self._announce(files)
        return batch_id, claim

    async def keep_answer(self, claim: Claim | None, result: UploadResult) -> None:
        """For duplicates that want it; the upload itself was completed when its files were queued."""
        if claim:
            async with self._database.tenant(self._tenant_id) as session:
                await IdempotencyStore(session).keep_answer(claim, answer_of(result))

    async def _announce(self, files: Sequence[File]) -> None:
        for file in files:
            if file.state == FileState.QUEUED and not await self._jobs.send(
                PROCESS_FILE, str(self._tenant_id), str(file.id)
            ):
                break

    def _row(self, project_id: UUID, batch_id: UUID, file_id: UUID, file: ReceivedFile) -> File:
        empty = file.stored.byte_count == 0
        return File(
            tenant_id=self._tenant_id,
            id=file_id,
            project_id=project_id,
            batch_id=batch_id,
            filename=file.filename,
            byte_count=file.stored.byte_count,
            sha256=file.stored.sha256,
            storage_key=file.stored.key,
            state=FileState.FAILED if empty else FileState.QUEUED,
            last_error=failure(
                code=EmptyFileError.code, message="The file has no bytes.", stage="queued", retryable=False
            )
            if empty
            else None,
            notified_at=clock.now(),
        )

    async def wait(
        self, project_id: UUID, batch_id: UUID, *, seconds: int, caller_left: Callable[[], Awaitable[bool]]
    ) -> UploadResult:
        """The batch when all its files are done, when `seconds` are over, or when the caller left.

        Raises:
            QuotaExceededError: every file was refused for want of characters.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        pause = FIRST_LOOK_SECONDS
        while True:
            async with self._database.tenant(self._tenant_id) as session:
                files = await FileRepo(session, self._tenant_id).batch(batch_id)
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or not any(file.state in UNFINISHED for file in files) or await caller_left():
                break
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_LOOK_SECONDS)
        _raise_if_all_over_quota(files)
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            embedded = await self._engine(project.engine).embedded(session, self._tenant_id, project_id)
        return UploadResult.of(project_id, project.vector_store_id or "", batch_id, files, embedded)

    async def list_files(self, project_id: UUID, *, limit: int, after: UUID | None) -> FileList:
        """A page of the project's files, oldest first."""
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            files = await FileRepo(session, self._tenant_id).page(project_id, limit=limit + 1, after=after)
            embedded = await self._engine(project.engine).embedded(session, self._tenant_id, project_id)
        page = files[:limit]
        more = len(files) > limit
        return FileList(
            project_id=project_id,
            vector_store_id=project.vector_store_id,
            embedded=round(sum(embedded.values()) / len(embedded), 4) if embedded else 1.0,
            files=[FileRead.of(file, embedded) for file in page],
            has_more=more,
            next_after=page[-1].id if more else None,
        )

    async def remove(self, project_id: UUID, file_id: UUID, *, delete_raw: bool) -> FileRemoved:
        """Take the file out of every answer now; work in progress on it ends without effect.

        With `delete_raw` also a file that was removed before, while its bytes were kept.
        """
        async with self._database.tenant(self._tenant_id) as session:
            project = await ProjectService(session, self._tenant_id).get(project_id)
            files = FileRepo(session, self._tenant_id)
            file = await files.get(project_id, file_id, lock=True)
            if file is not None:
                await self._take_out(session, project.engine, file)
            elif delete_raw:
                file = await files.get_kept_raw(project_id, file_id)
            if file is None:
                raise FileUnknownError("This project has no file with this id.")
            file.state = FileState.DELETING
            file.attempt += 1
            file.lease_until = None
            file.notified_at = clock.now()
            file.delete_raw = delete_raw
            AuditLog(session).record(
                self._tenant_id,
                Action.FILE_REMOVED,
                file_id,
                project_id=str(project_id),
                filename=file.filename,
                delete_raw=delete_raw,
            )
        await self._jobs.send(DELETE_FILE, str(self._tenant_id), str(file_id))
        return FileRemoved(
            project_id=project_id,
            vector_store_id=project.vector_store_id,
            removed_file_id=file_id,
            delete_raw=delete_raw,
        )

    async def _take_out(self, session: AsyncSession, engine_name: str | None, file: File) -> None:
        """Out of every answer, and out of the plan's count where the work was not done yet."""
        if file.reservation_id and file.state in UNFINISHED:
            await UsageService(session, self._tenant_id).release(file.reservation_id)
        hidden = await self._hide_unless_shared(engine_name, FileRepo(session, self._tenant_id), file)
        file.receipt = {"document_id": str(hidden) if hidden else None, "characters": file.char_count}
        file.document_id = None

    async def _hide_unless_shared(self, engine_name: str | None, files: FileRepo, file: File) -> UUID | None:
        if file.document_id is None:
            return None
        engine = self._engine(engine_name)
        await engine.lock(files.session, self._tenant_id, file.document_id)
        if await files.others_share(file.document_id, besides=file.id):
            return None
        await engine.hide(files.session, self._tenant_id, file.document_id)
        return file.document_id


def _digest(received: Sequence[ReceivedFile]) -> bytes:
    """What makes two uploads the same; boundaries between the parts differ each time."""
    return json.dumps([(file.filename, file.stored.byte_count, file.stored.sha256.hex()) for file in received]).encode()


def _raise_if_all_over_quota(files: Sequence[File]) -> None:
    errors = [file.last_error or {} for file in files if file.state == FileState.FAILED]
    over = [error for error in errors if error.get("code") == QuotaExceededError.code]
    if files and len(over) == len(files):
        raise QuotaExceededError(over[0]["message"], **over[0].get("quota", {}))
