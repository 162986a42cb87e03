"""Projects and files over HTTP."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query, Request

from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.deletions.schemas import DeletionRead
from fastapi_ignite.http.deps import (
    JobsDep,
    PrincipalDep,
    SessionDep,
    SettingsDep,
    ensure_idempotent,
)
from fastapi_ignite.http.idempotency import keyed_request
from fastapi_ignite.http.multipart import (
    MultipartReader,
    RepeatedFieldError,
)
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.infra.idempotency import Claim, KeyedRequest
from fastapi_ignite.ingestion.attributes import FIELD, read_attributes
from fastapi_ignite.ingestion.deps import ResourcesDep
from fastapi_ignite.ingestion.errors import (
    FileUnknownError,
    InvalidAttributesError,
)
from fastapi_ignite.ingestion.multipart_body import (
    BODY_ERRORS,
    FILE_PICKER,
    RESERVATION_ERRORS,
    multipart_schema,
    reader_of,
)
from fastapi_ignite.ingestion.project_deletion import ProjectDeletionService
from fastapi_ignite.ingestion.schemas import (
    FILE_EXAMPLE,
    FileList,
    FileRemoved,
    UploadResult,
    VectorStoreEnsured,
)
from fastapi_ignite.ingestion.service import IngestionService
from fastapi_ignite.projects.errors import ProjectNotFoundError
from fastapi_ignite.projects.schemas import PROJECT_EXAMPLE
from fastapi_ignite.rag.engines import EngineMissingError
from fastapi_ignite.rag.errors import STORE_ERRORS
from fastapi_ignite.usage.deps import QuotaHeadersDep

router = tenant_router("/ingestion", "ingestion")

FILES = "/ingestion/projects/{project_id}/files"

ATTRIBUTES: dict[str, Any] = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "A JSON object with the attributes of all files of the request: at most 16 keys of 1 to 64 "
    "characters, with strings of at most 512 characters, numbers or booleans.",
    "examples": ['{"department": "support", "year": 2024}'],
}
MULTIPART_BODY = multipart_schema("files", {"type": "array", "minItems": 1, "items": FILE_PICKER}, {FIELD: ATTRIBUTES})


async def _service(resources: ResourcesDep) -> IngestionService:
    return IngestionService(resources)


IngestionServiceDep = Annotated[IngestionService, Depends(_service)]


async def _deletion_service(principal: PrincipalDep, session: SessionDep, jobs: JobsDep) -> ProjectDeletionService:
    return ProjectDeletionService(session, jobs, principal.tenant_id)


ProjectDeletionServiceDep = Annotated[ProjectDeletionService, Depends(_deletion_service)]


async def _body(
    request: Request,
    settings: SettingsDep,
    *,
    keep_folders: Annotated[
        bool, Query(description="Keep the folders in the names: `guides/setup.txt` instead of `setup.txt`.")
    ] = False,
) -> MultipartReader:
    return reader_of(
        request,
        settings,
        field_name="files",
        max_files=settings.upload.max_files,
        fields={FIELD: read_attributes},
        keep_folders=keep_folders,
    )


UploadBodyDep = Annotated[MultipartReader, Depends(_body)]
ProjectId = Annotated[UUID, Path(examples=[PROJECT_EXAMPLE])]


@router.post(
    "/projects/{project_id}/ensure_vector_store",
    openapi_extra=requires(Scope.PROJECTS_WRITE),
    responses=responses(ProjectNotFoundError, *STORE_ERRORS, EngineMissingError),
)
async def ensure_vector_store(
    service: IngestionServiceDep,
    claim: Annotated[Claim | None, ensure_idempotent(FILES)],
    project_id: ProjectId,
) -> VectorStoreEnsured:
    """Give the project an index if it has none."""
    return await service.ensure_vector_store(project_id, claim)


@router.post(
    "/projects/{project_id}/upload_and_attach",
    dependencies=[QuotaHeadersDep],
    openapi_extra=MULTIPART_BODY | requires(Scope.FILES_WRITE),
    responses=responses(
        ProjectNotFoundError,
        *RESERVATION_ERRORS,
        *BODY_ERRORS,
        InvalidAttributesError,
        RepeatedFieldError,
        *STORE_ERRORS,
        EngineMissingError,
    ),
)
async def upload_and_attach(
    request: Request,
    service: IngestionServiceDep,
    body: UploadBodyDep,
    keyed: Annotated[KeyedRequest | None, keyed_request(FILES)],
    project_id: ProjectId,
    wait_seconds: Annotated[
        int, Query(ge=0, le=60, description="How long to wait for the files to be searchable.")
    ] = 30,
) -> UploadResult:
    """Upload files into the project and wait until they are searchable, or until `wait_seconds` are over.

    The work goes on when the caller leaves; `GET …/files` shows how it stands.
    """
    return await service.upload(project_id, body, keyed, wait_seconds=wait_seconds, caller_left=request.is_disconnected)


@router.get(
    "/projects/{project_id}/files",
    openapi_extra=requires(Scope.FILES_READ),
    responses=responses(ProjectNotFoundError, EngineMissingError),
)
async def list_files(
    service: IngestionServiceDep,
    project_id: ProjectId,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    after: Annotated[UUID | None, Query(description="`next_after` of the page before.")] = None,
    *,
    removed: Annotated[
        bool, Query(description="List the removed files whose uploaded bytes are still stored, and no others.")
    ] = False,
) -> FileList:
    """The project's files, oldest first."""
    return await service.list_files(project_id, limit=limit, after=after, removed=removed)


@router.delete(
    "/projects/{project_id}/remove_file",
    openapi_extra=requires(Scope.FILES_WRITE),
    responses=responses(ProjectNotFoundError, FileUnknownError, EngineMissingError),
)
async def remove_file(
    service: IngestionServiceDep,
    project_id: ProjectId,
    openai_file_id: Annotated[
        UUID, Query(description="The file's `id`, whatever the engine.", examples=[FILE_EXAMPLE["id"]])
    ],
    *,
    delete_raw: Annotated[bool, Query(description="Remove the uploaded bytes too.")] = False,
) -> FileRemoved:
    """Take a file out of the project: from this answer on no question sees it."""
    return await service.remove(project_id, openai_file_id, delete_raw=delete_raw)


@router.delete(
    "/projects/{project_id}",
    status_code=202,
    openapi_extra=requires(Scope.PROJECTS_WRITE),
    responses=responses(ProjectNotFoundError),
)
async def delete_project(service: ProjectDeletionServiceDep, project_id: ProjectId) -> DeletionRead:
    """Delete a project with its files and conversations: from this answer on nobody sees them, and its name is free.

    What it held is removed in the background. `GET /deletions/{deletion_id}` shows how far that is.
    """
    return await service.delete(project_id)
