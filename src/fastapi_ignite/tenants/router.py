"""Tenants over HTTP: for themselves, and for administrators."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Path, Query

from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import OperatorDep, PrincipalDep, SessionDep
from fastapi_ignite.http.fields import Text
from fastapi_ignite.http.problems import BodyTooLargeError, MalformedBodyError, responses
from fastapi_ignite.http.routing import admin_router, requires, tenant_router
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.tenants.schemas import (
    TENANT_EXAMPLE,
    OwnTenantRead,
    Suspension,
    TenantChange,
    TenantList,
    TenantRead,
)
from fastapi_ignite.tenants.service import TenantAdminService, TenantService

router = tenant_router("/tenants", "tenants")
admin = admin_router("/tenants")


async def _own_service(principal: PrincipalDep, session: SessionDep) -> TenantService:
    return TenantService(session, principal.tenant_id)


async def _service(session: OperatorDep) -> TenantAdminService:
    return TenantAdminService(session)


TenantServiceDep = Annotated[TenantService, Depends(_own_service)]
TenantAdminServiceDep = Annotated[TenantAdminService, Depends(_service)]
TenantId = Annotated[UUID, Path(examples=[TENANT_EXAMPLE])]


@router.get("/current", openapi_extra=requires(Scope.TENANT_READ), responses=responses(TenantNotFoundError))
async def read_own_tenant(service: TenantServiceDep) -> OwnTenantRead:
    """The tenant of the bearer token."""
    return await service.read()


@router.patch(
    "/current",
    openapi_extra=requires(Scope.TENANT_WRITE),
    responses=responses(TenantNotFoundError, MalformedBodyError, BodyTooLargeError),
)
async def change_own_tenant(service: TenantServiceDep, change: TenantChange) -> OwnTenantRead:
    """Rename the tenant."""
    return await service.rename(change.name)


@admin.get("")
async def list_tenants(
    service: TenantAdminServiceDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[UUID | None, Query(description="`next_after` of the page before.")] = None,
    name: Annotated[Text | None, Query(min_length=1, max_length=200, description="Part of the name.")] = None,
    status: Annotated[Literal["active", "suspended"] | None, Query()] = None,
) -> TenantList:
    """Every tenant, oldest first."""
    return await service.page(limit=limit, after=after, name=name, status=status)


@admin.get("/{tenant_id}", responses=responses(TenantNotFoundError))
async def read_tenant(service: TenantAdminServiceDep, tenant_id: TenantId) -> TenantRead:
    """One tenant. What it has stored is its own: no admin key reads it."""
    return await service.read(tenant_id)


@admin.post("/{tenant_id}/suspend", responses=responses(TenantNotFoundError))
async def suspend_tenant(service: TenantAdminServiceDep, tenant_id: TenantId, suspension: Suspension) -> TenantRead:
    """Refuse the tenant's requests, within a second on every process. Its data and subscription stay."""
    return await service.suspend(tenant_id, suspension.reason)


@admin.post("/{tenant_id}/resume", responses=responses(TenantNotFoundError))
async def resume_tenant(service: TenantAdminServiceDep, tenant_id: TenantId) -> TenantRead:
    """Take the tenant's requests again."""
    return await service.resume(tenant_id)
