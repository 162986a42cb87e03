"""Serves the versions of files over HTTP: uploads, the history, and restores."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Request

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import SettingsDep
from fastapi_ignite.http.idempotency import keyed_request
from fastapi_ignite.http.multipart import (
    MultipartReader,
)
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.infra.idempotency import KeyedRequest
from fastapi_ignite.ingestion.deps import ResourcesDep
from fastapi_ignite.ingestion.errors import (
    ContentNotStoredError,
    FileInProgressError,
    FileUnknownError,
    VersionUnknownError,
)
from fastapi_ignite.ingestion.multipart_body import (
    BODY_ERRORS,
    FILE_PICKER,
    RESERVATION_ERRORS,
    multipart_schema,
    reader_of,
)
from fastapi_ignite.ingestion.schemas import FILE_EXAMPLE
from fastapi_ignite.ingestion.version_schemas import FileReplaced, FileVersions
from fastapi_ignite.ingestion.version_service import FileVersionService
from fastapi_ignite.projects.errors import ProjectNotFoundError
from fastapi_ignite.projects.schemas import PROJECT_EXAMPLE
from fastapi_ignite.rag.engines import EngineMissingError
from fastapi_ignite.usage.deps import QuotaHeadersDep

router = tenant_router("/ingestion", "ingestion")

FILE = "/ingestion/projects/{project_id}/files/{file_id}"
LARGEST_NUMBER = 2**31 - 1
ProjectId = Annotated[UUID, Path(examples=[PROJECT_EXAMPLE])]
FileId = Annotated[UUID, Path(examples=[FILE_EXAMPLE["id"]])]
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, examples=[1])]
WaitSeconds = Annotated[int, Query(ge=0, le=60, description="How long to wait for the version to answer.")]
MULTIPART_BODY = multipart_schema("file", FILE_PICKER)
# what the storage, the plan and the state of the file refuse
_REFUSALS: tuple[type[IgniteError], ...] = (
    ProjectNotFoundError,
    FileUnknownError,
    FileInProgressError,
    *RESERVATION_ERRORS,
    EngineMissingError,
)


async def _versions(resources: ResourcesDep) -> FileVersionService:
    return FileVersionService(resources)


async def _body(request: Request, settings: SettingsDep) -> MultipartReader:
    return reader_of(request, settings, field_name="file", max_files=1)


FileVersionServiceDep = Annotated[FileVersionService, Depends(_versions)]
BodyDep = Annotated[MultipartReader, Depends(_body)]


@router.put(
    "/projects/{project_id}/files/{file_id}/content",
    dependencies=[QuotaHeadersDep],
    openapi_extra=MULTIPART_BODY | requires(Scope.FILES_WRITE),
    responses=responses(*_REFUSALS, *BODY_ERRORS),
)
async def replace_content(
    request: Request,
    service: FileVersionServiceDep,
    body: BodyDep,
    keyed: Annotated[KeyedRequest | None, keyed_request(FILE)],
    project_id: ProjectId,
    file_id: FileId,
    wait_seconds: WaitSeconds = 30,
) -> FileReplaced:
    """Upload a new version of the file. The old one answers until the new one is whole, and then never again.

    The work goes on when the caller leaves; `GET …/files/{file_id}` shows how it stands.
    """
    return await service.replace(
        project_id, file_id, body, keyed, wait_seconds=wait_seconds, caller_left=request.is_disconnected
    )


@router.get(
    "/projects/{project_id}/files/{file_id}/versions",
    openapi_extra=requires(Scope.FILES_READ),
    responses=responses(ProjectNotFoundError, FileUnknownError),
)
async def list_versions(
    service: FileVersionServiceDep,
    project_id: ProjectId,
    file_id: FileId,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    older_than: Annotated[
        int | None, Query(ge=1, le=LARGEST_NUMBER, description="`next_older_than` of the page before.")
    ] = None,
) -> FileVersions:
    """List the versions of the file that answer or have answered, newest first."""
    return await service.versions(project_id, file_id, limit=limit, older_than=older_than)


@router.post(
    "/projects/{project_id}/files/{file_id}/versions/{number}/restore",
    dependencies=[QuotaHeadersDep],
    openapi_extra=requires(Scope.FILES_WRITE),
    responses=responses(*_REFUSALS, VersionUnknownError, ContentNotStoredError),
)
async def restore_version(
    request: Request,
    service: FileVersionServiceDep,
    keyed: Annotated[KeyedRequest | None, keyed_request(FILE)],
    project_id: ProjectId,
    file_id: FileId,
    number: Number,
    wait_seconds: WaitSeconds = 30,
) -> FileReplaced:
    """Restore an earlier version: its content becomes a new version. It costs no characters."""
    return await service.restore(
        project_id, file_id, number, keyed, wait_seconds=wait_seconds, caller_left=request.is_disconnected
    )
