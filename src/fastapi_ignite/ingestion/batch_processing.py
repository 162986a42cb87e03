"""Takes many small files through their stages together, so that a transaction serves all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.jobs.leases import StaleAttemptError, keep_lease
from fastapi_ignite.ingestion.batch_repository import FileBatchRepo
from fastapi_ignite.ingestion.models import FINISHED, File
from fastapi_ignite.ingestion.processing import FileProcessor, reserved
from fastapi_ignite.ingestion.tasks import backfill_embeddings
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import DocumentSource, GroupIndexing, RagEngine
from fastapi_ignite.rag.extraction import ExtractedText
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService

# One is read while the answer of another is on its way.
PARSERS_OF_A_BATCH = 2
# A small file may unpack to a long text. When so many characters are in memory, the other files are taken alone.
MOST_CHARACTERS = 2_000_000
log = structlog.get_logger(__name__)


class _EqualBytesError(Exception):
    """The project has got a document of the same bytes meanwhile, which the file can share."""


@dataclass(frozen=True, slots=True)
class _ReadFile:
    file: File
    extracted: ExtractedText


class BatchProcessor:
    """Completes the files of a batch together where nothing is special about them, and each other one alone.

    Special are files of equal bytes, files that cannot be read, and those that were removed meanwhile. And all files
    are taken alone when they do not fit the plan together, or when a statement for all of them fails.
    """

    def __init__(
        self, *, database: Database, engines: Mapping[str, RagEngine], jobs: JobQueue, alone: FileProcessor
    ) -> None:
        self._database = database
        self._engines = engines
        self._jobs = jobs
        self._alone = alone

    async def work_on(self, files: Sequence[File], *, niceness: int = 0) -> None:
        """Bring claimed files of one project to an end, or leave them for a later attempt."""
        if len(files) == 1:
            await self._alone.work_on(files[0], niceness=niceness)
            return
        left = {file.id: file for file in files}
        async with keep_lease(partial(self._extend_leases, left)):
            try:
                await self._complete_together(left, niceness)
            except CommitOutcomeUnknownError as error:
                for file in left.values():  # a later attempt reads in the row what became of this one
                    await self._alone.end_with(file, error)
                return
            except (StaleAttemptError, QuotaExceededError, _EqualBytesError) as error:
                log.info("files are processed one by one", files=len(left), reason=type(error).__name__)
            except Exception:
                log.exception("files are processed one by one", files=len(left))
            while left:
                file = next(iter(left.values()))
                await self._alone.work_on(file, niceness=niceness)
                del left[file.id]

    async def _complete_together(self, left: dict[UUID, File], niceness: int) -> None:
        """Complete files, and remove those that have ended from `left`."""
        files = list(left.values())
        tenant_id, project_id = files[0].tenant_id, files[0].project_id
        async with self._database.tenant(tenant_id) as session:
            project = await ProjectService(session, tenant_id).get(project_id)
            known = await DocumentRepository(session, tenant_id).known(project_id, [file.sha256 for file in files])
        engine = engine_of(project.engine, self._engines)
        if not isinstance(engine, GroupIndexing):
            return
        read: list[_ReadFile] = []
        waiting = iter(_first_of_equal_bytes(files, known))

        async def read_files() -> None:
            for file in waiting:
                if sum(len(each.extracted.text) for each in read) > MOST_CHARACTERS:
                    return
                try:
                    read.append(_ReadFile(file, await self._alone.extract(file, niceness)))
                except Exception as error:  # noqa: BLE001  whatever broke, the file must come to an end
                    await self._alone.end_with(file, error)
                    del left[file.id]

        async with asyncio.TaskGroup() as parsers:
            for _ in range(PARSERS_OF_A_BATCH):
                parsers.create_task(read_files())
        if read:
            await self._reserve(read)
            await self._index(engine, read)
        for each in read:
            del left[each.file.id]

    async def _reserve(self, read: Sequence[_ReadFile]) -> None:
        tenant_id, files = read[0].file.tenant_id, [each.file for each in read]
        characters = [len(each.extracted.text) for each in read]
        async with self._database.tenant(tenant_id) as session:
            batch = FileBatchRepo(session, tenant_id)
            await batch.hold(files)
            reservations = await UsageService(session, tenant_id).reserve_each(
                Metric.CHARACTERS, characters, lifetime=None
            )
            await batch.reserve(files, characters, reservations)
        for file, reservation_id in zip(files, reservations, strict=True):
            file.reservation_id = reservation_id

    async def _index(self, engine: GroupIndexing, read: Sequence[_ReadFile]) -> None:
        tenant_id, project_id, files = read[0].file.tenant_id, read[0].file.project_id, [each.file for each in read]
        sources = [DocumentSource(tenant_id, project_id, new_id(), each.file.sha256, each.extracted) for each in read]
        prepared = [await engine.prepare(source) for source in sources]
        async with self._database.tenant(tenant_id) as session:
            batch = FileBatchRepo(session, tenant_id)
            await batch.hold(files)
            if await DocumentRepository(session, tenant_id).find_each(project_id, [file.sha256 for file in files]):
                raise _EqualBytesError
            await engine.write_together(session, prepared)
            await UsageService(session, tenant_id).settle_each([reserved(file) for file in files])
            await batch.complete(files, [source.document_id for source in sources])
            self._jobs.enqueue(session, backfill_embeddings)
        FINISHED.labels("completed", "").inc(len(files))
        names = {"tenant_id": str(tenant_id), "project_id": str(project_id)}
        log.info("files completed", **names, files=len(files), chunks=sum(each.chunk_count for each in prepared))

    async def _extend_leases(self, left: Mapping[UUID, File]) -> None:
        if left:
            files = list(left.values())
            async with self._database.tenant(files[0].tenant_id) as session:
                await FileBatchRepo(session, files[0].tenant_id).extend_leases(files)


def _first_of_equal_bytes(files: Sequence[File], known: Collection[bytes]) -> list[File]:
    """Return the first file of each content that the project does not have yet."""
    first: dict[bytes, File] = {}
    for file in files:
        if file.sha256 not in known:
            first.setdefault(file.sha256, file)
    return list(first.values())
