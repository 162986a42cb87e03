"""Reads and writes the audit log, and calls the database functions that alone may remove its events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.models import AdminEvent, AuditEvent

E = TypeVar("E", AuditEvent, AdminEvent)
_ERASE = text("SELECT erase_events(:tenant_id, :row_limit)")
_REMOVE_OLD = text("SELECT remove_old_events(:before, :row_limit)")
_COUNT = text("SELECT count(*) FROM audit_events WHERE tenant_id = :tenant_id")


class AuditRepo:
    """Lists events by id, newest first. Ids sort by time."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_for_tenant(
        self, tenant_id: UUID, *, limit: int, after: UUID | None, action: str | None
    ) -> Sequence[AuditEvent]:
        return await self._page(
            select(AuditEvent).where(AuditEvent.tenant_id == tenant_id), AuditEvent, limit, after, action
        )

    async def list_for_service(self, *, limit: int, after: UUID | None, action: str | None) -> Sequence[AdminEvent]:
        """List events of the whole service. This needs an operator transaction."""
        return await self._page(select(AdminEvent), AdminEvent, limit, after, action)

    async def _page(
        self, statement: Select[E], model: type[E], limit: int, after: UUID | None, action: str | None
    ) -> Sequence[E]:
        if after is not None:
            statement = statement.where(model.id < after)
        if action is not None:
            statement = statement.where(model.action == action)
        return (await self._session.scalars(statement.order_by(model.id.desc()).limit(limit))).all()


async def erase_events(session: AsyncSession, tenant_id: UUID, *, limit: int) -> int:
    """Remove some events of a tenant that is being erased, and the personal data of those that stay. Return how many.

    It needs a system transaction. The function of the database refuses any other tenant, and names what stays.
    """
    return int(await session.scalar(_ERASE, {"tenant_id": tenant_id, "row_limit": limit}) or 0)


async def count_events(session: AsyncSession, tenant_id: UUID) -> int:
    """Return the number of events of a tenant."""
    return int(await session.scalar(_COUNT, {"tenant_id": tenant_id}) or 0)


async def remove_old_events(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Remove some events, of tenants and of the service, that are older. Return how many.

    It needs a system transaction. The function of the database refuses a time within the last 30 days.
    """
    return int(await session.scalar(_REMOVE_OLD, {"before": before, "row_limit": limit}) or 0)
