"""Ingests and removes files in a worker. Every write names the attempt; no transaction is open while a parser works."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import IgniteError, UnavailableError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.outages import outage_of
from fastapi_ignite.core.sections import VERSIONS_KEPT
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS, StaleAttemptError, keep_lease, next_try
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.ingestion.file_removal import FileRemover
from fastapi_ignite.ingestion.leftovers import abandon_leftovers
from fastapi_ignite.ingestion.models import FINISHED, UNFINISHED, File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.ingestion.schemas import failure
from fastapi_ignite.ingestion.tasks import backfill_embeddings
from fastapi_ignite.ingestion.version_repository import VersionRepo
from fastapi_ignite.ingestion.version_swap import VersionSwap
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import DocumentSource, RagEngine, StoreMaintenance
from fastapi_ignite.rag.errors import ProviderError, ProviderUnavailableError
from fastapi_ignite.rag.extraction import ExtractedText, ExtractionError
from fastapi_ignite.rag.extraction.process import extract
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService

# a file fails when something is away for so long after it was queued
LONGEST_WAIT = timedelta(hours=24)
log = structlog.get_logger(__name__)


class FileProcessor:
    """Takes a file from `queued` to `completed` or `failed`, and from `deleting` to `deleted`."""

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        engines: Mapping[str, RagEngine],
        jobs: JobQueue,
        versions_kept: int = VERSIONS_KEPT,
    ) -> None:
        self._versions_kept = versions_kept
        self._database = database
        self._storage = storage
        self._engines = engines
        self._jobs = jobs

    async def process(self, tenant_id: UUID, file_id: UUID) -> None:
        """Work on the file if nobody else does. It is safe to call at any time and any number of times."""
        file = await self._claim(tenant_id, file_id, UNFINISHED, FileState.EXTRACTING)
        if file is not None:
            await self.work_on(file)

    async def work_on(self, file: File, *, niceness: int = 0) -> None:
        """Bring a claimed file to an end, or leave it for a later attempt. `niceness` is the parser's, 0 to 19."""
        # the request that uploaded this file; the message that led here may name another one
        structlog.contextvars.bind_contextvars(
            tenant_id=str(file.tenant_id), file_id=str(file.id), attempt=file.attempt, request_id=file.request_id
        )
        try:
            if file.tries > MAX_ATTEMPTS:
                await self._fail(file, code="attempts_exhausted", message="The file brought its worker down too often.")
                return
            async with keep_lease(partial(self._extend_lease, file)):
                await self._index(file, niceness)
        except StaleAttemptError:
            log.info("attempt overtaken")
            await self._clear_up(
                file, FileState.FAILED, FileState.CANCELLED, FileState.DELETED
            )  # this attempt may have worked on after the file had ended
        except Exception as error:  # noqa: BLE001  whatever broke, the file must come to an end
            await self.end_with(file, error)

    async def end_with(self, file: File, error: Exception) -> None:
        """Fail the file where its owner has to act, and try again later where the cause may pass."""
        if isinstance(error, ExtractionError) and not error.retryable:
            await self._fail(file, code=error.code, message=error.message)
        elif isinstance(error, QuotaExceededError):
            if file.tries < MAX_ATTEMPTS and await self._equal_bytes_in_progress(file):
                await self._retry_later(file, error)
            else:
                await self._fail(file, code=error.code, message=error.detail, quota=error.extra)
        elif isinstance(error, ProviderUnavailableError) and error.retryable:
            await self._wait_out(file, error)
        elif isinstance(error, ExtractionError) or (isinstance(error, ProviderError) and error.retryable):
            await self._retry_later(file, error)
        elif isinstance(error, IgniteError) and not isinstance(error, CommitOutcomeUnknownError):
            await self._fail(file, code=error.code, message=error.detail)
        elif (outage := outage_of(error)) and outage.lasting:
            log.error("file attempt failed", exc_info=error)
            await self._wait_out(file, outage.as_error())
        else:
            log.error("file attempt failed", exc_info=error)
            await self._retry_later(file, error)

    async def delete(self, tenant_id: UUID, file_id: UUID) -> None:
        """Remove what a deleted file left behind."""
        remover = FileRemover(database=self._database, storage=self._storage, engines=self._engines)
        await remover.run(tenant_id, file_id)

    async def clear_up_cancelled(self, tenant_id: UUID, file_id: UUID) -> None:
        """Remove at the provider what the attempts before the cancellation left there."""
        async with self._database.tenant(tenant_id) as session:
            file = await FileRepo(session, tenant_id).find(file_id)
        if file is not None:
            await self._clear_up(file, FileState.CANCELLED)

    async def _clear_up(self, file: File, *states: FileState) -> None:
        """Remove unfinished work at the provider. If this fails, the reconciliation removes it; no answer shows it."""
        try:
            engine = await self._engine_of(file)
            if not isinstance(engine, StoreMaintenance) or not await abandon_leftovers(
                self._database, engine, file, *states
            ):
                return
            purged = await engine.discard(file.tenant_id, file.project_id, file.sha256)
        except IgniteError as error:
            log.warning("unfinished work stays at the provider", code=error.code)
        else:
            if purged.provider_ids:
                log.info("unfinished work removed at the provider", provider_ids=purged.provider_ids)

    async def _claim(
        self, tenant_id: UUID, file_id: UUID, states: tuple[FileState, ...], state: FileState
    ) -> File | None:
        async with self._database.tenant(tenant_id) as session:
            return await FileRepo(session, tenant_id).claim(file_id, states=states, state=state)

    async def _engine_of(self, file: File) -> RagEngine:
        async with self._database.tenant(file.tenant_id) as session:
            project = await ProjectService(session, file.tenant_id).get(file.project_id)
        return engine_of(project.engine, self._engines)

    async def _index(self, file: File, niceness: int) -> None:
        engine = await self._engine_of(file)
        if await self._share(file, engine):
            return
        extracted = await self.extract(file, niceness)
        charged = await self._reserve(file, len(extracted.text))
        source = DocumentSource(
            tenant_id=file.tenant_id,
            project_id=file.project_id,
            document_id=new_id(),
            sha256=file.sha256,
            extracted=extracted,
            whole=file.version_of is not None,
        )
        prepared = await engine.prepare(source)
        async with self._database.tenant(file.tenant_id) as session:
            files = FileRepo(session, file.tenant_id)
            usage = UsageService(session, file.tenant_id)
            swap = self._swap(session, engine, file)
            replaced = await swap.lock(file)
            await files.advance(file.id, file.attempt, state=FileState.INDEXING)
            existing = await DocumentRepository(session, file.tenant_id).find(file.project_id, file.sha256)
            if existing is None:
                await prepared.write(session)
                await usage.settle(reserved(file))
            else:
                await usage.release(reserved(file))
            document_id, shared = existing or source.document_id, existing is not None
            if replaced:
                await swap.swap(
                    file, replaced, document_id=document_id, char_count=0 if shared else charged, shared=shared
                )
            else:
                await self._complete(files, file, document_id, shared=shared)
            self._jobs.enqueue(session, backfill_embeddings)
        FINISHED.labels("completed", "").inc()
        log.info("file completed", chunks=prepared.chunk_count, characters=len(extracted.text))

    def _swap(self, session: AsyncSession, engine: RagEngine, file: File) -> VersionSwap:
        return VersionSwap(session, self._jobs, engine, file.tenant_id, versions_kept=self._versions_kept)

    async def _share(self, file: File, engine: RagEngine) -> bool:
        """Complete the file with the document of equal bytes, if the project has one, and return whether it has."""
        async with self._database.tenant(file.tenant_id) as session:
            swap = self._swap(session, engine, file)
            replaced = await swap.lock(file)
            existing = await DocumentRepository(session, file.tenant_id).find(file.project_id, file.sha256)
            if existing is None:
                return False
            files = FileRepo(session, file.tenant_id)
            if file.reservation_id:
                await files.advance(file.id, file.attempt, char_count=0)  # the order of locks, see `_fail`
                await UsageService(session, file.tenant_id).release(file.reservation_id)
            if replaced:
                await swap.swap(file, replaced, document_id=existing, char_count=0, shared=True)
            else:
                await self._complete(files, file, existing, shared=True)
        FINISHED.labels("completed", "deduplicated").inc()
        return True

    async def _complete(self, files: FileRepo, file: File, document_id: UUID, *, shared: bool) -> None:
        charged = {"char_count": 0} if shared else {}
        await files.advance(
            file.id,
            file.attempt,
            state=FileState.COMPLETED,
            document_id=document_id,
            deduplicated=shared,
            lease_until=None,
            last_error=None,
            completed_at=clock.now(),
            **charged,
        )

    async def _equal_bytes_in_progress(self, file: File) -> bool:
        """Tell whether another file of these bytes holds characters; when that is completed, this one needs none."""
        async with self._database.tenant(file.tenant_id) as session:
            return await FileRepo(session, file.tenant_id).equal_bytes_in_progress(file)

    async def extract(self, file: File, niceness: int) -> ExtractedText:
        """Read the stored file in a process of its own, which gets `niceness` (0 to 19)."""
        if file.storage_key is None:
            raise FileNotFoundError(file.id)
        async with self._storage.local_copy(file.storage_key) as path:
            return await extract(path, filename=file.filename, niceness=niceness)

    async def _reserve(self, file: File, characters: int) -> int:
        """Reserve the characters, after releasing those of an earlier attempt, whose text may have been another.

        Return how many the plan has to hold: none for bytes that an earlier version of the file was charged for.
        """
        async with self._database.tenant(file.tenant_id) as session:
            if file.version_of and await VersionRepo(session, file.tenant_id).is_paid(file.version_of, file.sha256):
                characters = 0
            files = FileRepo(session, file.tenant_id)
            usage = UsageService(session, file.tenant_id)
            # lock the file's row before the counter's, as a removal does: the other order could deadlock
            await files.advance(file.id, file.attempt, state=FileState.CHUNKING, char_count=characters)
            if file.reservation_id:
                await usage.release(file.reservation_id)
            reservation_id = await usage.reserve(Metric.CHARACTERS, characters, lifetime=None)
            await files.advance(file.id, file.attempt, reservation_id=reservation_id)
        file.reservation_id = reservation_id
        return characters

    async def _fail(
        self, file: File, *, code: str, message: str, retryable: bool = False, quota: dict[str, Any] | None = None
    ) -> None:
        try:
            async with self._database.tenant(file.tenant_id) as session:
                files = FileRepo(session, file.tenant_id)
                stage = await files.stage(file.id)
                # Lock the file's row, then the counter of characters, then by the new state the sum of files: everybody
                # does so in this order, because any other one could deadlock.
                await files.advance(file.id, file.attempt, char_count=None)
                # read it from the row: the answer to the commit that wrote it may have been lost
                if reservation_id := await files.reservation(file.id):
                    await UsageService(session, file.tenant_id).release(reservation_id)
                await files.advance(
                    file.id,
                    file.attempt,
                    state=FileState.FAILED,
                    lease_until=None,
                    last_error=failure(code=code, message=message, stage=stage, retryable=retryable, quota=quota or {}),
                )
        except StaleAttemptError:
            return
        FINISHED.labels("failed", code).inc()
        log.info("file failed", code=code)
        await self._clear_up(file, FileState.FAILED)

    async def _retry_later(self, file: File, error: Exception) -> None:
        """Leave the file to the scheduler, which has it tried again later."""
        if file.tries >= MAX_ATTEMPTS:
            code, message = _public_reason(error)
            await self._fail(file, code=code, message=message, retryable=True)
        else:
            await self._put_off(file, error, lease_until=next_try(file.tries))

    async def _wait_out(self, file: File, error: UnavailableError) -> None:
        """Try again later because a provider, the database or a disk is away.

        This does not count as one of the tries, because nothing is wrong with the file. After a day it fails.
        """
        if clock.now() - file.queued_at > LONGEST_WAIT:
            await self._fail(file, code=error.code, message=error.detail, retryable=True)
            return
        waits = file.waits + 1
        wait = timedelta(seconds=int(error.headers.get("Retry-After", "0")))
        await self._put_off(file, error, lease_until=next_try(waits, at_least=wait), waits=waits)

    async def _put_off(self, file: File, error: Exception, **values: Any) -> None:
        code, message = _public_reason(error)
        try:
            async with self._database.tenant(file.tenant_id) as session:
                files = FileRepo(session, file.tenant_id)
                stage = await files.stage(file.id)
                last_error = failure(code=code, message=message, stage=stage, retryable=True)
                await files.advance(file.id, file.attempt, last_error=last_error, **values)
        except StaleAttemptError:
            log.info("attempt overtaken")

    async def _extend_lease(self, file: File) -> None:
        async with self._database.tenant(file.tenant_id) as session:
            await FileRepo(session, file.tenant_id).extend_lease(file.id, file.attempt)


def reserved(file: File) -> UUID:
    """Return the reservation of the file's characters.

    Raises:
        StaleAttemptError: there is none.
    """
    if file.reservation_id is None:
        raise StaleAttemptError
    return file.reservation_id


def _public_reason(error: Exception) -> tuple[str, str]:
    """Return the code and the message that the file's owner reads; an internal error keeps its details to the log."""
    if isinstance(error, ExtractionError):
        return error.code, error.message
    if isinstance(error, IgniteError):
        return error.code, error.detail
    return "internal_error", "The file could not be processed."
