"""SQL of exports, their own rows and the rows they hand out."""

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
from fastapi_ignite.exports.sections import Section
from fastapi_ignite.exports.storage_keys import archive_of
from fastapi_ignite.infra.jobs.leases import LeasedRepo, StalledJob


class ExportRepo(LeasedRepo[Export]):
    """The exports of one tenant."""

    model = Export
    unfinished = (*IN_PROGRESS, ExportState.EXPIRED)

    async def get(self, export_id: UUID) -> Export | None:
        """An export that is not expired."""
        statement = select(Export).where(
            Export.tenant_id == self._tenant_id,
            Export.id == export_id,
            Export.state != ExportState.EXPIRED,
            or_(Export.expires_at.is_(None), Export.expires_at > clock.now()),
        )
        return (await self.session.execute(statement)).scalar_one_or_none()

    async def in_progress(self) -> Export | None:
        """The one export that is not ended."""
        statement = select(Export).where(Export.tenant_id == self._tenant_id, Export.state.in_(IN_PROGRESS))
        return (await self.session.execute(statement)).scalar_one_or_none()

    async def kept(self) -> int:
        """Archives in storage."""
        statement = select(func.count()).where(
            Export.tenant_id == self._tenant_id,
            Export.state == ExportState.COMPLETED,
            Export.expires_at > clock.now(),
        )
        return (await self.session.execute(statement)).scalar_one()

    async def add(self, export_id: UUID, *, include_files: bool) -> Export | None:
        """Insert, unless another one is in progress."""
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
        """Delete the row, unless it moved on without this attempt."""
        await self.session.execute(
            delete(Export).where(Export.tenant_id == self._tenant_id, Export.id == export_id, Export.attempt == attempt)
        )

    async def page(self, section: Section, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
        """The next rows of a table, by its key."""
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
    """Those of some storage keys that belong to exports which have a row. Needs a system transaction.

    Archives of all attempts are the row's: it knows which of them to remove.
    """
    owners = {key: archive_of(key) for key in keys}
    known = {owner for owner in owners.values() if owner}
    statement = select(Export.tenant_id, Export.id).where(tuple_(Export.tenant_id, Export.id).in_(known))
    found = {(row.tenant_id, row.id) for row in await session.execute(statement)} if known else set()
    return {key for key, owner in owners.items() if owner in found}


async def claim_expired(session: AsyncSession, *, now: datetime, limit: int = 500) -> list[StalledJob]:
    """Exports whose time is over; from now on callers do not see them. Needs a system transaction."""
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
