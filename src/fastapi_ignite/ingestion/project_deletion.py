"""Deletes a project: one transaction hides it, and a worker removes what it held."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.deletions.models import Deletion, Kind
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.deletions.runner import DeletionRunner
from fastapi_ignite.deletions.schemas import DeletionRead
from fastapi_ignite.deletions.service import DeletionService
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.ingestion.project_rows import ProjectRows
from fastapi_ignite.ingestion.tasks import delete_project
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.usage.service import UsageService

# Objects are deleted one by one, and their rows after them: a crash repeats at most so many.
FILES_AT_ONCE = 100
ROWS_AT_ONCE = 1000


class ProjectDeletionService:
    """Deletes the projects of one tenant. It works in the caller's transaction."""

    def __init__(self, session: AsyncSession, jobs: JobQueue, tenant_id: UUID) -> None:
        self._session = session
        self._jobs = jobs
        self._tenant_id = tenant_id

    async def delete(self, project_id: UUID) -> DeletionRead:
        """Hide the project and everything in it from the commit on. Work in progress on it ends without effect.

        Raises:
            ProjectNotFoundError: The id is unknown, of a deleted project or another tenant's.
        """
        projects = ProjectService(self._session, self._tenant_id)
        project = await projects.get(project_id, lock=True)
        reservations = await ProjectRows(self._session, self._tenant_id, project_id).stop_work()
        await UsageService(self._session, self._tenant_id).release(*reservations)
        await DeletionRepo(self._session, self._tenant_id).begin(Kind.PROJECT, project_id, project_id=project_id)
        await projects.hide(project)
        self._jobs.enqueue(self._session, delete_project, self._tenant_id, project_id)
        return await DeletionService(self._session, self._tenant_id).read(project_id)


class ProjectRemover:
    """Removes what a deleted project held. Its transactions are of the system: those of the tenant see nothing of it.

    Each one is bounded, and adds to the receipt what it removes.
    """

    def __init__(self, *, database: Database, storage: Storage, engines: Mapping[str, RagEngine]) -> None:
        self._database = database
        self._storage = storage
        self._engines = engines

    async def run(self, tenant_id: UUID, project_id: UUID) -> None:
        """Remove it if nobody else does. It is safe to call at any time and any number of times."""
        await DeletionRunner(self._database).run(tenant_id, project_id, self._remove)

    async def _remove(self, deletion: Deletion) -> None:
        # the background work of documents ends first; so nothing is embedded for nobody
        await self._repeat(deletion, self._hide_documents)
        await self._remove_files(deletion)
        await self._remove_index(deletion)
        await self._repeat(deletion, self._delete_messages)
        await self._repeat(deletion, self._delete_conversations)
        async with self._database.system() as session:
            deletions = DeletionRepo(session, deletion.tenant_id)
            await self._rows(session, deletion).delete_project()
            await deletions.complete_files_of(deletion.id)
            await deletions.complete(deletion)

    def _rows(self, session: AsyncSession, deletion: Deletion) -> ProjectRows:
        return ProjectRows(session, deletion.tenant_id, deletion.id)

    async def _repeat(
        self, deletion: Deletion, step: Callable[[AsyncSession, Deletion], Awaitable[Mapping[str, int] | None]]
    ) -> None:
        """Run a step in transactions of its own, which add its counts to the receipt, until it finds nothing."""
        while True:
            async with self._database.system() as session:
                counts = await step(session, deletion)
                if counts is None:
                    return
                await DeletionRepo(session, deletion.tenant_id).add_counts(deletion, **counts)

    async def _hide_documents(self, session: AsyncSession, deletion: Deletion) -> Mapping[str, int] | None:
        chunks = await DocumentRepository(session, deletion.tenant_id).hide_some(deletion.id, ROWS_AT_ONCE)
        return {"chunks": sum(chunks)} if chunks else None

    async def _delete_messages(self, session: AsyncSession, deletion: Deletion) -> Mapping[str, int] | None:
        removed = await self._rows(session, deletion).delete_messages(ROWS_AT_ONCE)
        return {"messages": removed} if removed else None

    async def _delete_conversations(self, session: AsyncSession, deletion: Deletion) -> Mapping[str, int] | None:
        removed = await self._rows(session, deletion).delete_conversations(ROWS_AT_ONCE)
        return {"conversations": removed} if removed else None

    async def _remove_files(self, deletion: Deletion) -> None:
        """Delete the objects, and then the rows that name them."""
        while True:
            async with self._database.system() as session:
                files = await self._rows(session, deletion).files(FILES_AT_ONCE)
            if not files:
                return
            for file in files:
                if file.storage_key:
                    await self._storage.delete(file.storage_key)
            async with self._database.system() as session:
                await DeletionRepo(session, deletion.tenant_id).add_counts(
                    deletion,
                    files=sum(file.is_visible for file in files),
                    bytes=sum(file.stored_bytes for file in files),
                )
                await self._rows(session, deletion).delete_files([file.id for file in files])

    async def _remove_index(self, deletion: Deletion) -> None:
        async with self._database.system() as session:
            engine = await self._rows(session, deletion).engine()
        if engine is None:
            return
        async for provider_ids in engine_of(engine, self._engines).remove_index(deletion.tenant_id, deletion.id):
            async with self._database.system() as session:
                await DeletionRepo(session, deletion.tenant_id).add_provider_ids(deletion, provider_ids)
