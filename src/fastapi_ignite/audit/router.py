"""HTTP operations of the audit log."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.schemas import EventList
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import OperatorDep, PrincipalDep, SessionDep
from fastapi_ignite.http.routing import admin_router, requires, tenant_router

router = tenant_router("/audit", "audit", "What was done in the tenant, and by whom. Events never change.")
admin = admin_router("/audit")


async def _service(session: SessionDep) -> AuditLog:
    return AuditLog(session)


async def _admin_service(session: OperatorDep) -> AuditLog:
    return AuditLog(session)


AuditLogDep = Annotated[AuditLog, Depends(_service)]
AdminAuditLogDep = Annotated[AuditLog, Depends(_admin_service)]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[UUID | None, Query(description="`next_after` of the previous page.")]
OnlyAction = Annotated[Action | None, Query(description="Only events of this action.")]


@router.get("", openapi_extra=requires(Scope.AUDIT_READ))
async def list_events(
    principal: PrincipalDep,
    service: AuditLogDep,
    limit: Limit = 50,
    after: After = None,
    action: OnlyAction = None,
) -> EventList:
    """List what was done in the tenant, and by whom, newest first. Nobody can change or remove an event."""
    return await service.list_events(principal.tenant_id, limit=limit, after=after, action=action)


@admin.get("")
async def list_admin_events(
    service: AdminAuditLogDep, limit: Limit = 50, after: After = None, action: OnlyAction = None
) -> EventList:
    """List what administrators did to plans and admin keys, newest first."""
    return await service.list_service_events(limit=limit, after=after, action=action)
