"""Queries of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.models import AdminEvent, AuditEvent

E = TypeVar("E", AuditEvent, AdminEvent)


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
