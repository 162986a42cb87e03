"""SQL of projects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.stored_subscription import COLUMNS, TABLES, SubscriptionRow
from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.projects.models import Project

_WITH_SUBSCRIPTION = FixedStatement(f"""
SELECT {COLUMNS}, project.engine
FROM projects AS project LEFT JOIN ({TABLES}) ON s.tenant_id = project.tenant_id
WHERE project.tenant_id = :tenant_id AND project.id = :project_id AND project.deleted_at IS NULL
""")  # noqa: S608  all parts are constants
_CONTENTS = text("""
SELECT count(*) FILTER (WHERE state IN ('queued', 'extracting', 'chunking', 'indexing') AND version_of IS NULL)
        AS in_progress,
    count(*) FILTER (WHERE state = 'completed') AS completed,
    count(*) FILTER (WHERE state = 'failed' AND version_of IS NULL) AS failed,
    count(*) FILTER (WHERE state = 'cancelled' AND version_of IS NULL) AS cancelled,
    CAST(coalesce(sum(char_count) FILTER (WHERE state = 'completed'), 0) AS bigint) AS characters,
    CAST(coalesce(sum(byte_count) FILTER (WHERE storage_key IS NOT NULL AND bytes_missing_at IS NULL), 0) AS bigint)
        AS stored_bytes
FROM files WHERE tenant_id = :tenant_id AND project_id = :project_id
""")


@dataclass(frozen=True, slots=True)
class ProjectContents:
    """The number of the project's files by status, and their characters. Stored bytes are those of versions too."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    characters: int
    stored_bytes: int


class ProjectRepo:
    """The projects of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _visible(self) -> Select[Project]:
        return select(Project).where(Project.tenant_id == self._tenant_id, Project.deleted_at.is_(None))

    async def get(self, project_id: UUID, *, lock: bool = False, keep: bool = False) -> Project | None:
        """Return the project unless it is deleted. With `lock`, rows that refer to it can still be written.

        With `keep` nobody changes or deletes it until the transaction ends; others may keep it at the same time.
        """
        statement = self._visible().where(Project.id == project_id)
        if lock:
            statement = statement.with_for_update(key_share=True)
        elif keep:
            statement = statement.with_for_update(read=True)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def lock_all(self) -> Sequence[Project]:
        """Return and lock every project that is not deleted, as `get` does with `lock`, in one order."""
        statement = self._visible().order_by(Project.id).with_for_update(key_share=True)
        return (await self._session.scalars(statement)).all()

    async def page(self, *, limit: int, after: UUID | None, name: str | None) -> Sequence[Project]:
        """Return a page ordered by id, which is also the order of creation. `name` is a part of it, in any case."""
        statement = self._visible().order_by(Project.id).limit(limit)
        if after is not None:
            statement = statement.where(Project.id > after)
        if name is not None:
            statement = statement.where(Project.name.icontains(name, autoescape=True))
        return (await self._session.scalars(statement)).all()

    async def contents(self, project_id: UUID) -> ProjectContents:
        """Count what the project holds."""
        values = {"tenant_id": self._tenant_id, "project_id": project_id}
        return ProjectContents(**(await self._session.execute(_CONTENTS, values)).mappings().one())

    async def rename(self, project: Project, name: str) -> bool:
        """Give the locked project another name. Return False if another project has it."""
        try:
            async with self._session.begin_nested():
                project.name = name
                await self._session.flush()
        except IntegrityError:
            return False
        return True

    async def mark_deleted(self, project: Project, now: datetime) -> None:
        """Hide the locked project, and so its files, documents and conversations, from this transaction on.

        Its name is free: the one that it gets instead begins with a space, as no name that a caller sends does.
        """
        project.deleted_at = now
        project.name = f" {project.id}"
        await self._session.flush()

    async def by_name(self, name: str) -> Project | None:
        """Return the project with exactly this name, or None."""
        return (await self._session.execute(self._visible().where(Project.name == name))).scalar_one_or_none()

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
            .where(Project.tenant_id == self._tenant_id, Project.id == project_id, Project.deleted_at.is_(None))
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
