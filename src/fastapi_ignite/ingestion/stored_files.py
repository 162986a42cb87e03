"""SQL that compares files' rows with the objects in storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.ingestion.models import UNFINISHED, File, SweepPosition
from fastapi_ignite.projects.models import Project

# One statement is one snapshot: an upload that ends now still has its row, or its files have theirs.
_UNNAMED = text("""
SELECT key FROM unnest(CAST(:keys AS text[]), CAST(:tenants AS uuid[]), CAST(:uploads AS uuid[]))
    AS candidate (key, tenant_id, upload_id)
WHERE NOT EXISTS (SELECT FROM files WHERE storage_key = candidate.key)
  AND NOT EXISTS (
    SELECT FROM uploads WHERE tenant_id = candidate.tenant_id AND id = candidate.upload_id
  )
""")

_DELETED_PROJECTS = select(Project.id).where(Project.deleted_at.is_not(None))


@dataclass(frozen=True, slots=True)
class NamedObject:
    """A file whose row names an object. `missing` is true if the object was not there when the sweep looked."""

    tenant_id: UUID
    id: UUID
    state: str
    storage_key: str
    missing: bool


@dataclass(frozen=True, slots=True)
class FailedFile:
    """The reservation of an unfinished file that was failed."""

    reservation_id: UUID | None


class StoredFiles:
    """Reads all tenants' rows in a system transaction, and changes one in a transaction of its tenant."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def position(self, name: str) -> str:
        """Return where the sweep of this name stopped; an empty string at the beginning."""
        row = await self._session.get(SweepPosition, name)
        return row.position if row else ""

    async def set_position(self, name: str, position: str) -> None:
        """Store where the next run begins."""
        statement = insert(SweepPosition).values(name=name, position=position)
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=[SweepPosition.name], set_={"position": position})
        )

    async def between(self, after: str, until: str | None, *, limit: int) -> list[NamedObject]:
        """Return files with a key after `after` and up to `until`, except those that are being removed."""
        statement = (
            select(File.tenant_id, File.id, File.state, File.storage_key, File.bytes_missing_at)
            .where(File.storage_key > after, File.delete_raw.is_(False), File.project_id.not_in(_DELETED_PROJECTS))
            .order_by(File.storage_key)
            .limit(limit)
        )
        if until is not None:
            statement = statement.where(File.storage_key <= until)
        return [
            NamedObject(row.tenant_id, row.id, row.state, row.storage_key, row.bytes_missing_at is not None)
            for row in await self._session.execute(statement)
        ]

    async def unnamed(self, keys: Sequence[str], uploads: Sequence[tuple[UUID, UUID] | None]) -> list[str]:
        """Return those keys that no file names and that belong to no upload in progress."""
        values = {
            "keys": list(keys),
            "tenants": [upload[0] if upload else None for upload in uploads],
            "uploads": [upload[1] if upload else None for upload in uploads],
        }
        return list((await self._session.scalars(_UNNAMED, values)).all())

    async def fail_missing(self, row: NamedObject, *, last_error: dict[str, Any], now: datetime) -> FailedFile | None:
        """Fail an unfinished file that nobody works on, or return None. The new attempt number stops its workers."""
        statement = (
            update(File)
            .where(*_same(row), File.state.in_(UNFINISHED), or_(File.lease_until.is_(None), File.lease_until <= now))
            .values(
                state="failed",
                attempt=File.attempt + 1,
                lease_until=None,
                char_count=None,
                last_error=last_error,
                bytes_missing_at=now,
            )
            .returning(File.reservation_id)
        )
        failed = (await self._session.execute(statement)).one_or_none()
        return FailedFile(failed.reservation_id) if failed else None

    async def set_missing(self, row: NamedObject, *, now: datetime | None) -> bool:
        """Store since when the object is missing, or None. Return False if nothing changed."""
        known = File.bytes_missing_at.is_(None) if now else File.bytes_missing_at.is_not(None)
        statement = update(File).where(*_same(row), known).values(bytes_missing_at=now).returning(File.id)
        return (await self._session.execute(statement)).first() is not None


def _same(row: NamedObject) -> tuple[Any, ...]:
    return File.tenant_id == row.tenant_id, File.id == row.id, File.storage_key == row.storage_key
