"""SQL of projects."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.stored_subscription import COLUMNS, TABLES, SubscriptionRow
from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.projects.models import Project

_WITH_SUBSCRIPTION = FixedStatement(f"""
SELECT {COLUMNS}, project.engine
FROM projects AS project LEFT JOIN ({TABLES}) ON s.tenant_id = project.tenant_id
WHERE project.tenant_id = :tenant_id AND project.id = :project_id
""")  # noqa: S608  all parts are constants


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


async def read_with_subscription(
    database: Database, tenant_id: UUID, project_id: UUID
) -> tuple[SubscriptionRow | None, str | None] | None:
    """Return the tenant's subscription and the name of the project's engine, or None without such a project."""
    rows = await database.read(tenant_id, _WITH_SUBSCRIPTION, {"tenant_id": tenant_id, "project_id": project_id})
    if not rows:
        return None
    subscription, (engine,) = SubscriptionRow.of(rows[0])
    return subscription, engine
