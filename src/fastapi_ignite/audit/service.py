"""Writing and reading the audit."""

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
    """Writes in the caller's transaction: the change and its record are one commit. Who acts is the task's origin."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._events = AuditRepo(session)

    def record(self, tenant_id: UUID, action: Action, target: object = None, **details: Any) -> None:
        """`details` is JSON: what changed, never a secret or a document's text."""
        self._session.add(AuditEvent(tenant_id=tenant_id, **_event_columns(action, target, details)))

    def record_service_event(self, action: Action, target: object = None, **details: Any) -> None:
        """What concerns no single tenant. Needs an operator's or a system transaction."""
        self._session.add(AdminEvent(**_event_columns(action, target, details)))

    async def page(self, tenant_id: UUID, *, limit: int, after: UUID | None, action: Action | None) -> EventList:
        """A tenant's events, newest first."""
        return EventList.of(await self._events.of_tenant(tenant_id, limit=limit + 1, after=after, action=action), limit)

    async def page_of_service_events(self, *, limit: int, after: UUID | None, action: Action | None) -> EventList:
        """The service's events, newest first."""
        return EventList.of(await self._events.of_service(limit=limit + 1, after=after, action=action), limit)


def _event_columns(action: Action, target: object, details: dict[str, Any]) -> dict[str, Any]:
    origin = current_audit_context()
    return {
        "id": new_id(),
        "actor_kind": origin.actor.kind,
        "actor_id": origin.actor.id,
        "action": str(action),
        "target": None if target is None else str(target),
        "details": details,
        "request_id": origin.request_id,
        "address": origin.address,
    }
