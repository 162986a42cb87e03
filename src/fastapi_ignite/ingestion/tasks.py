"""The background work of ingestion. The arguments of a job that has any are the tenant and the file or project."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from fastapi_ignite.core import clock
from fastapi_ignite.deletions.models import Deletion, DeletionState, Kind
from fastapi_ignite.infra.jobs import Job, Priority, TaskContext, job, periodic
from fastapi_ignite.infra.jobs.lost_work import resend_lost
from fastapi_ignite.ingestion.models import UNFINISHED, File
from fastapi_ignite.ingestion.upload_reservation import end_expired_uploads as end_expired_reservations
from fastapi_ignite.rag.engine import EmbeddingBackfill, IndexMaintenance, StoreMaintenance
from fastapi_ignite.rag.engines import any_damaged
from fastapi_ignite.worker_context import WorkerContext

if TYPE_CHECKING:
    from fastapi_ignite.ingestion.batch_processing import BatchProcessor
    from fastapi_ignite.ingestion.fair_queue import FairQueue
    from fastapi_ignite.ingestion.processing import FileProcessor

# One file of each tenant is parsed at full priority; more of them take what processor time the others leave.
SIBLING_NICENESS = 15


@cache
def _fair_queue(context: WorkerContext) -> FairQueue:
    """Return the one queue of the process: it counts each tenant's files in progress."""
    from fastapi_ignite.ingestion.fair_queue import FairQueue

    return FairQueue(context.database, context.jobs, threads=context.settings.dramatiq.threads)


def _processor(context: WorkerContext) -> FileProcessor:
    from fastapi_ignite.ingestion.processing import FileProcessor

    return FileProcessor(
        database=context.database,
        storage=context.storage,
        engines=context.engines,
        jobs=context.jobs,
        versions_kept=context.settings.files.versions_kept,
    )


def _batch_processor(context: WorkerContext) -> BatchProcessor:
    from fastapi_ignite.ingestion.batch_processing import BatchProcessor

    return BatchProcessor(
        database=context.database, engines=context.engines, jobs=context.jobs, alone=_processor(context)
    )


@job("ingestion.process_file", "ingestion", Priority.INTERACTIVE, time_limit=1_800_000)
async def process_file(context: WorkerContext, _tenant_id: UUID, _file_id: UUID) -> None:
    """Ingest the files whose turn it is. The message's own file may have to wait for those of other tenants."""
    async with _fair_queue(context).next_files() as claimed:
        if claimed is not None:
            niceness = SIBLING_NICENESS if claimed.siblings else 0
            await _batch_processor(context).work_on(claimed.files, niceness=niceness)


@job("ingestion.delete_file", "ingestion", Priority.BACKGROUND)
async def delete_file(context: WorkerContext, tenant_id: UUID, file_id: UUID) -> None:
    """Remove what a deleted file left behind."""
    await _processor(context).delete(tenant_id, file_id)


@job("ingestion.clear_up_cancelled_file", "ingestion", Priority.BACKGROUND)
async def clear_up_cancelled_file(context: WorkerContext, tenant_id: UUID, file_id: UUID) -> None:
    """Remove what a cancelled file left at the provider. If the message is lost, the reconciliation removes it."""
    await _processor(context).clear_up_cancelled(tenant_id, file_id)


@job("ingestion.delete_project", "maintenance", Priority.BACKGROUND, time_limit=3_600_000)
async def delete_project(context: WorkerContext, tenant_id: UUID, project_id: UUID) -> None:
    """Remove what a deleted project held."""
    from fastapi_ignite.ingestion.project_deletion import ProjectRemover

    await ProjectRemover(database=context.database, storage=context.storage, engines=context.engines).run(
        tenant_id, project_id
    )


# More than one loop in a process would only fight for the same cores.
@job("ingestion.backfill_embeddings", "embedding", Priority.BACKGROUND, time_limit=3_600_000, serial=True)
async def backfill_embeddings(context: WorkerContext) -> None:
    """Embed whatever waits."""
    for engine in context.engines.values():
        while isinstance(engine, EmbeddingBackfill) and await engine.backfill_embeddings():
            pass


# One run rebuilds several indexes at once.
@job("ingestion.rebuild", "maintenance", Priority.BACKGROUND, time_limit=3_600_000, serial=True)
async def rebuild(context: WorkerContext) -> None:
    """Make the indexes again that a provider lost."""
    from fastapi_ignite.ingestion.index_rebuild import IndexRebuilder

    await IndexRebuilder(context.database, context.engines).run()


@job("ingestion.reconcile", "maintenance", Priority.BULK, time_limit=3_600_000)
async def remove_orphans(context: WorkerContext) -> None:
    """Remove what is ours at a provider and belongs to nothing any more."""
    for engine in context.engines.values():
        if isinstance(engine, StoreMaintenance):
            await engine.reconcile()


# One process builds one index at a time; a large one may take hours.
@job("ingestion.maintain_indexes", "maintenance", Priority.BULK, time_limit=86_400_000, serial=True)
async def maintain_indexes(context: WorkerContext) -> None:
    """Build the vector indexes of projects that have become large, and drop those that are not needed any more."""
    for engine in context.engines.values():
        if isinstance(engine, IndexMaintenance):
            await engine.maintain_indexes()


@periodic(seconds=5)
async def find_lost_files(context: TaskContext) -> int:
    """Send the message of a file again if it was lost or its worker died."""
    jobs: dict[str, Job] = dict.fromkeys(UNFINISHED, process_file)
    return await resend_lost(context, File, jobs)


@periodic(seconds=5)
async def find_lost_deletions(context: TaskContext) -> int:
    """Send the message of a deletion again if it was lost or its worker died."""
    found = 0
    for kind, job_of_kind in ((Kind.FILE, delete_file), (Kind.PROJECT, delete_project)):
        jobs: dict[str, Job] = {DeletionState.IN_PROGRESS: job_of_kind}
        found += await resend_lost(context, Deletion, jobs, only=Deletion.kind == kind)
    return found


@periodic(seconds=10)
async def end_expired_uploads(context: TaskContext) -> None:
    """Free the bytes that were reserved for uploads whose process died."""
    async with context.database.system() as session:
        await end_expired_reservations(session, now=clock.now())


@periodic(seconds=10)
async def rebuild_indexes(context: TaskContext) -> None:
    """Start the rebuild of indexes that a provider lost."""
    async with context.database.system() as session:
        damaged = await any_damaged(session)
    if damaged and not await context.jobs.backlog(rebuild):
        await context.jobs.send(rebuild)


@periodic(seconds=30)
async def resume_embedding(context: TaskContext) -> None:
    """Start the embedding of passages that wait for it."""
    if not await context.jobs.backlog(backfill_embeddings):
        await context.jobs.send(backfill_embeddings)


@periodic(seconds=60)
async def check_indexes(context: TaskContext) -> None:
    """Start the maintenance of vector indexes."""
    if not await context.jobs.backlog(maintain_indexes):
        await context.jobs.send(maintain_indexes)


@periodic(seconds=3600)
async def reconcile(context: TaskContext) -> None:
    """Start the removal of objects at providers that no row names."""
    await context.jobs.send(remove_orphans)
