"""Projects over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from fastapi_ignite.billing.errors import SubscriptionRequiredError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.admission import idempotent
from fastapi_ignite.http.deps import PrincipalDep, SessionDep
from fastapi_ignite.http.fields import Name
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.projects.schemas import ProjectCreated
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.usage.deps import QuotaHeadersDep
from fastapi_ignite.usage.errors import QuotaExceededError

router = tenant_router("/ingestion", "ingestion", "Projects and their files.")


async def _service(principal: PrincipalDep, session: SessionDep) -> ProjectService:
    return ProjectService(session, principal.tenant_id)


ProjectServiceDep = Annotated[ProjectService, Depends(_service)]


@router.post(
    "/projects/create",
    openapi_extra=requires(Scope.PROJECTS_WRITE),
    dependencies=[QuotaHeadersDep, idempotent("/ingestion/projects/{id}/files")],
    responses=responses(SubscriptionRequiredError, QuotaExceededError),
)
async def create_project(service: ProjectServiceDep, name: Annotated[Name, Query(examples=["Docs"])]) -> ProjectCreated:
    """Make a project, or return the one that has the name."""
    return await service.create(name)
