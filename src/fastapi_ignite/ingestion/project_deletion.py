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
from fastapi_ignite.ingestion.project_rows import ProjectRows, stop_work
from fastapi_ignite.ingestion.tasks import delete_project
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.service import ProjectService
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
        await ProjectRows(self._session, self._tenant_id, project_id).forget_answers()
        reservations = await stop_work(self._session, self._tenant_id, [project_id])
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
        await self.remove_project(deletion, deletion.id)
        async with self._database.system() as session:
            deletions = DeletionRepo(session, deletion.tenant_id)
            await deletions.complete_files_of(deletion.id)
            await deletions.complete(deletion)

    async def remove_project(self, deletion: Deletion, project_id: UUID) -> None:
        """Remove a hidden project, and add to the receipt what goes with it. It may be called again.

        Raises:
            StaleAttemptError: The deletion moved on without this attempt.
        """
        # the background work of documents ends first; so nothing is embedded for nobody
        await self._repeat(deletion, project_id, self._hide_documents)
        await self._remove_files(deletion, project_id)
        await self._remove_index(deletion, project_id)
        await self._repeat(deletion, project_id, self._delete_messages)
        await self._repeat(deletion, project_id, self._delete_conversations)
        await self._repeat(deletion, project_id, self._delete_project)

    async def _repeat(
        self, deletion: Deletion, project_id: UUID, step: Callable[[ProjectRows], Awaitable[Mapping[str, int] | None]]
    ) -> None:
        """Run a step in transactions of its own, which add its counts to the receipt, until it finds nothing."""
        while True:
            async with self._database.system() as session:
                counts = await step(ProjectRows(session, deletion.tenant_id, project_id))
                if counts is None:
                    return
                await DeletionRepo(session, deletion.tenant_id).add_counts(deletion, **counts)

    async def _hide_documents(self, rows: ProjectRows) -> Mapping[str, int] | None:
        chunks = await rows.hide_documents(ROWS_AT_ONCE)
        return {"chunks": sum(chunks)} if chunks else None

    async def _delete_messages(self, rows: ProjectRows) -> Mapping[str, int] | None:
        removed = await rows.delete_messages(ROWS_AT_ONCE)
        return {"messages": removed} if removed else None

    async def _delete_conversations(self, rows: ProjectRows) -> Mapping[str, int] | None:
        removed = await rows.delete_conversations(ROWS_AT_ONCE)
        return {"conversations": removed} if removed else None

    async def _delete_project(self, rows: ProjectRows) -> Mapping[str, int] | None:
        return {"projects": 1} if await rows.delete_project() else None

    async def _remove_files(self, deletion: Deletion, project_id: UUID) -> None:
        """Delete the objects, and then the rows that name them."""
        while True:
            async with self._database.system() as session:
                files = await ProjectRows(session, deletion.tenant_id, project_id).files(FILES_AT_ONCE)
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
                rows = ProjectRows(session, deletion.tenant_id, project_id)
                await rows.delete_files([file.id for file in files])

    async def _remove_index(self, deletion: Deletion, project_id: UUID) -> None:
        async with self._database.system() as session:
            engine = await ProjectRows(session, deletion.tenant_id, project_id).engine()
        if engine is None:
            return
        async for provider_ids in engine_of(engine, self._engines).remove_index(deletion.tenant_id, project_id):
            async with self._database.system() as session:
                await DeletionRepo(session, deletion.tenant_id).add_provider_ids(deletion, provider_ids)
