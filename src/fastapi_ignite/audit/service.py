"""Write and read the audit log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.models import AdminEvent, AuditEvent
from fastapi_ignite.audit.repository import AuditRepo
from fastapi_ignite.audit.schemas import EventList
from fastapi_ignite.core.audit_context import current_audit_context
from fastapi_ignite.core.ids import new_id


class AuditLog:
    """Writes in the caller's transaction, so that change and event are one commit. The actor is the current task's."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._events = AuditRepo(session)

    def record(self, tenant_id: UUID, action: Action, target: object = None, **details: Any) -> None:
        """Record an event of a tenant. `details` is JSON, and must never hold a secret or the text of a document."""
        self._session.add(AuditEvent(tenant_id=tenant_id, **_event_columns(action, target, details)))

    def record_service_event(self, action: Action, target: object = None, **details: Any) -> None:
        """Record an event of the whole service. This needs an operator or system transaction."""
        self._session.add(AdminEvent(**_event_columns(action, target, details)))

    async def list_events(self, tenant_id: UUID, *, limit: int, after: UUID | None, action: Action | None) -> EventList:
        """Return a page of the tenant's events, newest first."""
        return EventList.of(
            await self._events.list_for_tenant(tenant_id, limit=limit + 1, after=after, action=action), limit
        )

    async def list_service_events(self, *, limit: int, after: UUID | None, action: Action | None) -> EventList:
        """Return a page of the service's events, newest first."""
        return EventList.of(await self._events.list_for_service(limit=limit + 1, after=after, action=action), limit)


def _event_columns(action: Action, target: object, details: dict[str, Any]) -> dict[str, Any]:
    context = current_audit_context()
    return {
        "id": new_id(),
        "actor_kind": context.actor.kind,
        "actor_id": context.actor.id,
        "action": str(action),
        "target": None if target is None else str(target),
        "details": details,
        "request_id": context.request_id,
        "address": context.address,
    }
