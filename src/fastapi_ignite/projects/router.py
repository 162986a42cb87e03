"""Projects over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query

from fastapi_ignite.billing.errors import SubscriptionRequiredError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.admission import idempotent
from fastapi_ignite.http.deps import PrincipalDep, SessionDep
from fastapi_ignite.http.fields import Name, Text
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.projects.errors import ProjectNameTakenError, ProjectNotFoundError
from fastapi_ignite.projects.schemas import (
    PROJECT_EXAMPLE,
    ProjectChange,
    ProjectCreated,
    ProjectDetails,
    ProjectList,
    ProjectRead,
)
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.usage.deps import QuotaHeadersDep
from fastapi_ignite.usage.errors import QuotaExceededError

router = tenant_router("/ingestion", "ingestion", "Projects and their files.")


async def _service(principal: PrincipalDep, session: SessionDep) -> ProjectService:
    return ProjectService(session, principal.tenant_id)


ProjectServiceDep = Annotated[ProjectService, Depends(_service)]
ProjectId = Annotated[UUID, Path(examples=[PROJECT_EXAMPLE])]


@router.post(
    "/projects/create",
    openapi_extra=requires(Scope.PROJECTS_WRITE),
    dependencies=[QuotaHeadersDep, idempotent("/ingestion/projects/{id}/files")],
    responses=responses(SubscriptionRequiredError, QuotaExceededError),
)
async def create_project(service: ProjectServiceDep, name: Annotated[Name, Query(examples=["Docs"])]) -> ProjectCreated:
    """Make a project, or return the one that has the name."""
    return await service.create(name)


@router.get("/projects", openapi_extra=requires(Scope.PROJECTS_READ))
async def list_projects(
    service: ProjectServiceDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[UUID | None, Query(description="`next_after` of the page before.")] = None,
    name: Annotated[Text | None, Query(min_length=1, max_length=200, description="Part of the name.")] = None,
) -> ProjectList:
    """The tenant's projects, oldest first."""
    return await service.page(limit=limit, after=after, name=name)


@router.get(
    "/projects/{project_id}", openapi_extra=requires(Scope.PROJECTS_READ), responses=responses(ProjectNotFoundError)
)
async def read_project(service: ProjectServiceDep, project_id: ProjectId) -> ProjectDetails:
    """One project, and how much it holds."""
    return await service.read(project_id)


@router.patch(
    "/projects/{project_id}",
    openapi_extra=requires(Scope.PROJECTS_WRITE),
    responses=responses(ProjectNotFoundError, ProjectNameTakenError),
)
async def change_project(service: ProjectServiceDep, project_id: ProjectId, change: ProjectChange) -> ProjectRead:
    """Rename the project, or replace its metadata. What the request leaves out stays as it is."""
    return await service.change(project_id, change)
