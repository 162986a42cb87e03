"""Projects, and the links to their indexes."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.service import BillingService, require_active
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.projects.errors import ProjectNameTakenError, ProjectNotFoundError
from fastapi_ignite.projects.models import Project
from fastapi_ignite.projects.repository import ProjectRepo, read_with_subscription
from fastapi_ignite.projects.schemas import (
    ProjectChange,
    ProjectCreated,
    ProjectDetails,
    ProjectList,
    ProjectRead,
)
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.service import UsageService

NO_PROJECT = "No project of this tenant has this id."


class ProjectService:
    """The projects of one tenant. It works in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._projects = ProjectRepo(session, tenant_id)
        self._usage = UsageService(session, tenant_id)

    async def create(self, name: str) -> ProjectCreated:
        """Make the project, or return the one that has the name. Callers at the same time make one and count one.

        Raises:
            SubscriptionRequiredError: The tenant has no plan; it needs one even for a name that it has used.
            QuotaExceededError: The tenant has as many projects as its plan allows.
        """
        existing = await self._projects.by_name(name)
        if existing:
            await BillingService(self._session, self._tenant_id).required()
            return ProjectCreated.of(existing, created=False)
        try:
            await self._usage.take_project()
        except QuotaExceededError:
            existing = await self._projects.by_name(name)
            if existing:
                return ProjectCreated.of(existing, created=False)
            raise
        project_id = new_id()
        created = await self._projects.add(project_id, name)
        if created:
            AuditLog(self._session).record(self._tenant_id, Action.PROJECT_CREATED, project_id, name=name)
        else:
            await self._usage.give_back_project()
        project = await (self._projects.get(project_id) if created else self._projects.by_name(name))
        if project is None:
            raise ProjectNotFoundError("The project was removed while it was created; try again.")
        return ProjectCreated.of(project, created=created)

    async def page(self, *, limit: int, after: UUID | None, name: str | None) -> ProjectList:
        """Return a page, oldest first. `name` may be any part of a project's name, in any case."""
        rows = await self._projects.page(limit=limit + 1, after=after, name=name)
        shown = [ProjectRead.of(row) for row in rows[:limit]]
        has_more = len(rows) > limit
        return ProjectList(projects=shown, has_more=has_more, next_after=shown[-1].id if has_more else None)

    async def read(self, project_id: UUID) -> ProjectDetails:
        """Return the project and what it holds.

        Raises:
            ProjectNotFoundError: The id is unknown, of a deleted project or another tenant's.
        """
        project = await self.get(project_id)
        return ProjectDetails.of_contents(project, await self._projects.contents(project_id))

    async def change(self, project_id: UUID, change: ProjectChange) -> ProjectRead:
        """Change the name, or replace the metadata; what the request leaves out stays as it is.

        Raises:
            ProjectNotFoundError: The id is unknown, of a deleted project or another tenant's.
            ProjectNameTakenError: Another project has the name; nothing was changed.
        """
        project = await self.get(project_id, lock=True)
        changed = []
        if change.name is not None and change.name != project.name:
            changed.append("name")
            if not await self._projects.rename(project, change.name):
                raise ProjectNameTakenError("Another project of this tenant has this name.")
        if "metadata" in change.model_fields_set and (change.metadata or {}) != project.own_metadata:
            changed.append("metadata")
            project.own_metadata = change.metadata or {}
        if changed:
            AuditLog(self._session).record(
                self._tenant_id, Action.PROJECT_CHANGED, project_id, name=project.name, changed=changed
            )
            await self._session.flush()
            await self._session.refresh(project)
        return ProjectRead.of(project)

    async def hide(self, project: Project) -> None:
        """Delete the locked project for every reader, and free its name and its unit of the plan.

        After this the transaction does not see the project's files, documents and conversations any more.
        """
        await self._usage.give_back_project()
        AuditLog(self._session).record(self._tenant_id, Action.PROJECT_DELETED, project.id, name=project.name)
        await self._projects.mark_deleted(project, clock.now())

    async def lock_all(self) -> Sequence[Project]:
        """Return and lock all projects, for `hide`."""
        return await self._projects.lock_all()

    async def get(self, project_id: UUID, *, lock: bool = False, keep: bool = False) -> Project:
        """Return the project. With `keep` it cannot be deleted until the transaction ends.

        Raises:
            ProjectNotFoundError: The id is unknown, of a deleted project or another tenant's.
        """
        project = await self._projects.get(project_id, lock=lock, keep=keep)
        if project is None:
            raise ProjectNotFoundError(NO_PROJECT)
        return project

    async def link_index(self, project_id: UUID, *, engine: str, vector_store_id: str) -> tuple[str, bool]:
        """Link a new index, unless the project has one. Return its vector store id and whether this call linked it."""
        project = await self.get(project_id, lock=True)
        if project.vector_store_id:
            return project.vector_store_id, False
        await self._projects.set_index(project_id, engine=engine, vector_store_id=vector_store_id)
        return vector_store_id, True

    async def relink_index(self, project_id: UUID, *, vector_store_id: str) -> None:
        """Note the new id of an index that was made again."""
        project = await self.get(project_id, lock=True)
        if project.engine and project.vector_store_id != vector_store_id:
            await self._projects.set_index(project_id, engine=project.engine, vector_store_id=vector_store_id)


async def read_engine_name(database: Database, tenant_id: UUID, project_id: UUID) -> str | None:
    """Return the name of the project's engine, or None while it has no index, by one query.

    Raises:
        ProjectNotFoundError: The id is unknown or another tenant's.
        SubscriptionRequiredError: The tenant has no subscription, or it has ended.
    """
    found = await read_with_subscription(database, tenant_id, project_id)
    if found is None:
        raise ProjectNotFoundError(NO_PROJECT)
    subscription, engine = found
    require_active(ActiveSubscription.of(subscription, clock.today()) if subscription else None)
    return engine
