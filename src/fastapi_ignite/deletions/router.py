"""Receipts of deletions over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query

from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.deletions.errors import DeletionNotFoundError
from fastapi_ignite.deletions.schemas import DELETION_EXAMPLE, DeletionList, DeletionRead
from fastapi_ignite.deletions.service import DeletionService
from fastapi_ignite.http.deps import OperatorDep, PrincipalDep, SessionDep
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import admin_router, requires, tenant_router

router = tenant_router("/deletions", "deletions", "Receipts of what was deleted: how far it is, and what was removed.")

admin = admin_router("/deletions")
DeletionId = Annotated[UUID, Path(examples=[DELETION_EXAMPLE])]


async def _service(principal: PrincipalDep, session: SessionDep) -> DeletionService:
    return DeletionService(session, principal.tenant_id)


async def _service_of_erased(session: OperatorDep, deletion_id: DeletionId) -> DeletionService:
    return DeletionService(session, deletion_id)


DeletionServiceDep = Annotated[DeletionService, Depends(_service)]
ErasureReceiptsDep = Annotated[DeletionService, Depends(_service_of_erased)]


@router.get("", openapi_extra=requires(Scope.PROJECTS_READ))
async def list_deletions(
    service: DeletionServiceDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[UUID | None, Query(description="`next_after` of the page before.")] = None,
) -> DeletionList:
    """The deletions of files and projects, ordered by the id of what was deleted."""
    return await service.page(limit=limit, after=after)


@router.get(
    "/{deletion_id}",
    openapi_extra=requires(Scope.PROJECTS_READ, after_erasure=True),
    responses=responses(DeletionNotFoundError),
)
async def read_deletion(service: DeletionServiceDep, deletion_id: DeletionId) -> DeletionRead:
    """The receipt of one deletion. `deletion_id` is the id of the file, project or tenant.

    The receipt of an erased tenant is all that its tokens can still read.
    """
    return await service.read(deletion_id)


@admin.get("/{deletion_id}", responses=responses(DeletionNotFoundError))
async def read_erasure(service: ErasureReceiptsDep, deletion_id: DeletionId) -> DeletionRead:
    """Return the receipt of an erased tenant, and no other receipt. `deletion_id` is the id of the tenant."""
    return await service.read(deletion_id)
