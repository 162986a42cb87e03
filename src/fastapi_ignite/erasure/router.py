"""Erases a tenant over HTTP, for its owner and for administrators."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path

from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.deletions.schemas import DeletionRead
from fastapi_ignite.erasure.errors import ErasureNotConfirmedError, ExportRequiredError
from fastapi_ignite.erasure.schemas import TenantErasure
from fastapi_ignite.erasure.service import TenantErasureService
from fastapi_ignite.http.deps import DatabaseDep, JobsDep, PrincipalDep, SessionDep
from fastapi_ignite.http.problems import BodyTooLargeError, MalformedBodyError, responses
from fastapi_ignite.http.routing import admin_router, requires, tenant_router
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.tenants.schemas import TENANT_EXAMPLE

router = tenant_router("/tenants", "tenants")
admin = admin_router("/tenants")
REFUSALS = responses(
    TenantNotFoundError, ErasureNotConfirmedError, ExportRequiredError, MalformedBodyError, BodyTooLargeError
)


async def _service(principal: PrincipalDep, session: SessionDep, jobs: JobsDep) -> TenantErasureService:
    return TenantErasureService(session, jobs, principal.tenant_id)


async def _service_of_named(
    database: DatabaseDep, jobs: JobsDep, tenant_id: Annotated[UUID, Path(examples=[TENANT_EXAMPLE])]
) -> AsyncGenerator[TenantErasureService]:
    """Yield the service in a transaction of the tenant that the path names, so that operators need no right on it."""
    async with database.tenant(tenant_id) as session:
        yield TenantErasureService(session, jobs, tenant_id)


TenantErasureServiceDep = Annotated[TenantErasureService, Depends(_service)]
NamedTenantErasureServiceDep = Annotated[TenantErasureService, Depends(_service_of_named, scope="function")]


@router.post(
    "/current/erase",
    status_code=202,
    openapi_extra=requires(Scope.TENANT_ERASE, after_erasure=True),
    responses=REFUSALS,
)
async def erase_own_tenant(service: TenantErasureServiceDep, erasure: TenantErasure) -> DeletionRead:
    """Erase the tenant for good. From this answer on every token and key of it is refused, on every process.

    What it held is removed in the background. With its tokens only `GET /deletions/{deletion_id}` can be read, where
    `deletion_id` is the id of the tenant. A second call returns the receipt.
    """
    return await service.erase(erasure)


@admin.post("/{tenant_id}/erase", status_code=202, responses=REFUSALS)
async def erase_tenant(service: NamedTenantErasureServiceDep, erasure: TenantErasure) -> DeletionRead:
    """Erase a tenant for good, as its owner can. `GET /admin/deletions/{deletion_id}` is the receipt."""
    return await service.erase(erasure)
