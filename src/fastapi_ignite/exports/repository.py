"""SQL of exports: of their own rows, and of the rows that they contain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.exports.models import ENDED, IN_PROGRESS, RUNNING_CONDITION, Export, ExportState
from fastapi_ignite.exports.sections import ExportSection
from fastapi_ignite.exports.storage_keys import archive_of
from fastapi_ignite.infra.jobs.leases import LeasedRepo, StalledJob


class ExportRepo(LeasedRepo[Export]):
    """The exports of one tenant."""

    model = Export
    unfinished = (*IN_PROGRESS, ExportState.EXPIRED)

    async def get(self, export_id: UUID) -> Export | None:
        """Return the export unless it is expired."""
        statement = select(Export).where(
            Export.tenant_id == self._tenant_id,
            Export.id == export_id,
            Export.state != ExportState.EXPIRED,
            or_(Export.expires_at.is_(None), Export.expires_at > clock.now()),
        )
        return (await self.session.execute(statement)).scalar_one_or_none()

    async def in_progress(self) -> Export | None:
        """Return the one export that is not ended, or None."""
        statement = select(Export).where(Export.tenant_id == self._tenant_id, Export.state.in_(IN_PROGRESS))
        return (await self.session.execute(statement)).scalar_one_or_none()

    async def kept(self) -> int:
        """Count the archives in storage."""
        statement = select(func.count()).where(
            Export.tenant_id == self._tenant_id,
            Export.state == ExportState.COMPLETED,
            Export.expires_at > clock.now(),
        )
        return (await self.session.execute(statement)).scalar_one()

    async def add(self, export_id: UUID, *, include_files: bool) -> Export | None:
        """Insert an export. Return None if another one is in progress."""
        return (
            await self.session.execute(
                insert(Export)
                .values(
                    tenant_id=self._tenant_id,
                    id=export_id,
                    state=ExportState.QUEUED,
                    include_files=include_files,
                    notified_at=clock.now(),
                )
                .on_conflict_do_nothing(index_elements=[Export.tenant_id], index_where=RUNNING_CONDITION)
                .returning(Export)
            )
        ).scalar_one_or_none()

    async def drop(self, export_id: UUID, attempt: int) -> None:
        """Delete the row unless a later attempt changed it."""
        await self.session.execute(
            delete(Export).where(Export.tenant_id == self._tenant_id, Export.id == export_id, Export.attempt == attempt)
        )

    async def page(self, section: ExportSection, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
        """Return the next rows of a table in the order of its key."""
        table = section.table
        key = [table.c[name] for name in section.key]
        statement = (
            select(table)
            .where(table.c[section.tenant_column] == self._tenant_id, *section.conditions)
            .order_by(*key)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(tuple_(*key) > tuple_(*map(literal, after)))
        return [dict(row) for row in (await self.session.execute(statement)).mappings()]


async def named_keys(session: AsyncSession, keys: Collection[str]) -> set[str]:
    """Return those keys that belong to an export which has a row. It needs a system transaction.

    The archives of all attempts belong to the row.
    """
    owners = {key: archive_of(key) for key in keys}
    known = {owner for owner in owners.values() if owner}
    statement = select(Export.tenant_id, Export.id).where(tuple_(Export.tenant_id, Export.id).in_(known))
    found = {(row.tenant_id, row.id) for row in await session.execute(statement)} if known else set()
    return {key for key, owner in owners.items() if owner in found}


async def claim_expired(session: AsyncSession, *, now: datetime, limit: int = 500) -> list[StalledJob]:
    """Expire exports whose time is over, so that callers do not see them. It needs a system transaction."""
    over = (
        select(Export.tenant_id, Export.id)
        .where(Export.state.in_(ENDED), Export.expires_at <= now)
        .order_by(Export.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("over")
    )
    rows = await session.execute(
        update(Export)
        .where(Export.tenant_id == over.c.tenant_id, Export.id == over.c.id)
        .values(state=ExportState.EXPIRED, lease_until=None, notified_at=now)
        .returning(Export.tenant_id, Export.id, Export.state)
    )
    return [StalledJob(row.tenant_id, row.id, row.state) for row in rows]
