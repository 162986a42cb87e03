"""SQL of projects."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.projects.models import Project


class ProjectRepo:
    """The projects of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def get(self, project_id: UUID, *, lock: bool = False) -> Project | None:
        """Return the project, or None. With `lock`, rows that refer to it can still be written."""
        statement = select(Project).where(Project.tenant_id == self._tenant_id, Project.id == project_id)
        if lock:
            statement = statement.with_for_update(key_share=True)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def by_name(self, name: str) -> Project | None:
        """Return the project with exactly this name, or None."""
        return (
            await self._session.execute(
                select(Project).where(Project.tenant_id == self._tenant_id, Project.name == name)
            )
        ).scalar_one_or_none()

    async def add(self, project_id: UUID, name: str) -> bool:
        """Insert a project. Return False if another request took the name first."""
        row = await self._session.execute(
            insert(Project)
            .values(tenant_id=self._tenant_id, id=project_id, name=name)
            .on_conflict_do_nothing(index_elements=[Project.tenant_id, Project.name])
            .returning(Project.id)
        )
        return row.first() is not None

    async def set_index(self, project_id: UUID, *, engine: str, vector_store_id: str) -> None:
        """Store which index the project has."""
        await self._session.execute(
            update(Project)
            .where(Project.tenant_id == self._tenant_id, Project.id == project_id)
            .values(engine=engine, vector_store_id=vector_store_id)
        )
