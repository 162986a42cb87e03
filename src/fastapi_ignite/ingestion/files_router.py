"""Single files, batches and their events over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from fastapi_ignite.billing.errors import SubscriptionRequiredError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import DatabaseDep, PrincipalDep, SettingsDep
from fastapi_ignite.http.downloads import RangeNotSatisfiableError, download_headers, is_known, requested_range
from fastapi_ignite.http.event_stream import MEDIA_TYPE
from fastapi_ignite.http.long_streams import TooManyEventStreamsError, long_stream
from fastapi_ignite.http.problems import responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.ingestion.deps import ResourcesDep
from fastapi_ignite.ingestion.errors import (
    BatchUnknownError,
    ContentMissingError,
    ContentNotStoredError,
    FileFinishedError,
    FileUnknownError,
    TextNotReadyError,
    TextRangeError,
    TooManyFilesInProgressError,
    VersionReplacedError,
    VersionUnknownError,
)
from fastapi_ignite.ingestion.file_attributes import FileAttributesService
from fastapi_ignite.ingestion.file_control import FileControlService
from fastapi_ignite.ingestion.file_events import FileEventService
from fastapi_ignite.ingestion.schemas import BATCH_EXAMPLE, FILE_EXAMPLE, BatchRead, FileChange, FileRead, FileText
from fastapi_ignite.ingestion.stored_content import StoredFileService
from fastapi_ignite.projects.errors import ProjectNotFoundError
from fastapi_ignite.projects.schemas import PROJECT_EXAMPLE
from fastapi_ignite.rag.engines import EngineMissingError
from fastapi_ignite.usage.errors import QuotaExceededError

router = tenant_router("/ingestion", "ingestion")

LARGEST_OFFSET = 2**31 - 1
ProjectId = Annotated[UUID, Path(examples=[PROJECT_EXAMPLE])]
FileId = Annotated[UUID, Path(examples=[FILE_EXAMPLE["id"]])]
BatchId = Annotated[UUID, Path(examples=[BATCH_EXAMPLE])]
VersionNumber = Annotated[
    int | None, Query(ge=1, le=LARGEST_OFFSET, description="The number of a version; by default the current one.")
]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[UUID | None, Query(description="`next_after` of the page before.")]
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", max_length=2000, description="The `id` of the last event that was read.")
]


async def _reading(resources: ResourcesDep) -> StoredFileService:
    return StoredFileService(resources)


async def _control(resources: ResourcesDep) -> FileControlService:
    return FileControlService(resources)


async def _changing(resources: ResourcesDep) -> FileAttributesService:
    return FileAttributesService(resources.database, resources.tenant_id)


async def _events(principal: PrincipalDep, database: DatabaseDep) -> FileEventService:
    return FileEventService(database, principal.tenant_id)


FileAttributesServiceDep = Annotated[FileAttributesService, Depends(_changing)]
StoredFileServiceDep = Annotated[StoredFileService, Depends(_reading)]
FileControlServiceDep = Annotated[FileControlService, Depends(_control)]
FileEventServiceDep = Annotated[FileEventService, Depends(_events)]


class EventResponse(Response):
    """It only declares the media type in the OpenAPI document."""

    media_type = MEDIA_TYPE


class BytesResponse(StreamingResponse):
    """The bytes of an upload in blocks."""

    media_type = "application/octet-stream"


@router.get(
    "/projects/{project_id}/files/{file_id}",
    openapi_extra=requires(Scope.FILES_READ),
    responses=responses(ProjectNotFoundError, FileUnknownError, EngineMissingError),
)
async def read_file(service: StoredFileServiceDep, project_id: ProjectId, file_id: FileId) -> FileRead:
    """Return one file: its stage, percentage and counts, and why it failed."""
    return await service.read(project_id, file_id)


@router.patch(
    "/projects/{project_id}/files/{file_id}",
    openapi_extra=requires(Scope.FILES_WRITE),
    responses=responses(ProjectNotFoundError, FileUnknownError, EngineMissingError),
)
async def change_file(
    changing: FileAttributesServiceDep,
    service: StoredFileServiceDep,
    project_id: ProjectId,
    file_id: FileId,
    change: FileChange,
) -> FileRead:
    """Replace the attributes of a file. From this answer on, searches and questions are filtered by the new ones."""
    await changing.change(project_id, file_id, change)
    return await service.read(project_id, file_id)


_CONTENT: dict[int | str, dict[str, Any]] = {
    206: {"description": "The range of bytes that was asked for."},
    304: {"description": "The client has these bytes already."},
}


@router.get(
    "/projects/{project_id}/files/{file_id}/content",
    openapi_extra=requires(Scope.FILES_READ),
    response_class=BytesResponse,
    responses=_CONTENT
    | responses(
        ProjectNotFoundError, FileUnknownError, VersionUnknownError, ContentMissingError, RangeNotSatisfiableError
    ),
)
async def download_file(
    request: Request,
    service: StoredFileServiceDep,
    project_id: ProjectId,
    file_id: FileId,
    version: VersionNumber = None,
) -> Response:
    """The bytes as they were uploaded, to be saved as a file. `Range` and `If-None-Match` are understood."""
    content = await service.content(project_id, file_id, version=version)
    etag = f'"{content.sha256}"'
    headers = download_headers(content.filename, etag=etag, media_type=content.media_type)
    if is_known(etag, request.headers):
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    part = requested_range(request.headers, etag=etag, total=content.byte_count)
    blocks: AsyncGenerator[bytes] = await content.read(part.start, part.length)
    return BytesResponse(blocks, status_code=part.status, headers={**headers, **part.headers()})


@router.get(
    "/projects/{project_id}/files/{file_id}/text",
    openapi_extra=requires(Scope.FILES_READ),
    responses=responses(
        ProjectNotFoundError,
        FileUnknownError,
        VersionUnknownError,
        VersionReplacedError,
        TextNotReadyError,
        TextRangeError,
    ),
)
async def read_file_text(
    service: StoredFileServiceDep,
    project_id: ProjectId,
    file_id: FileId,
    start: Annotated[int, Query(ge=0, le=LARGEST_OFFSET, description="Offset of the first character.")] = 0,
    end: Annotated[
        int | None,
        Query(
            ge=0,
            le=LARGEST_OFFSET,
            description="Offset behind the last character; by default, and at most, 100,000 behind `start`.",
        ),
    ] = None,
    version: VersionNumber = None,
) -> FileText:
    """The stored text around a citation: offsets are those of `char_start` and `char_end`.

    Send the `version` of the citation too: when the file has another one, its offsets mean nothing any more.
    """
    return await service.text(project_id, file_id, start=start, end=end, version=version)


@router.post(
    "/projects/{project_id}/files/{file_id}/cancel",
    openapi_extra=requires(Scope.FILES_WRITE),
    responses=responses(ProjectNotFoundError, FileUnknownError, FileFinishedError, EngineMissingError),
)
async def cancel_file(
    control: FileControlServiceDep, service: StoredFileServiceDep, project_id: ProjectId, file_id: FileId
) -> FileRead:
    """Stop the work on an unfinished file, or drop its pending version.

    Nothing of it becomes searchable, and nothing is charged.
    """
    await control.cancel(project_id, file_id)
    return await service.read(project_id, file_id)


@router.post(
    "/projects/{project_id}/files/{file_id}/retry",
    openapi_extra=requires(Scope.FILES_WRITE),
    responses=responses(
        ProjectNotFoundError,
        FileUnknownError,
        FileFinishedError,
        ContentNotStoredError,
        SubscriptionRequiredError,
        QuotaExceededError,
        TooManyFilesInProgressError,
        EngineMissingError,
    ),
)
async def retry_file(
    control: FileControlServiceDep, service: StoredFileServiceDep, project_id: ProjectId, file_id: FileId
) -> FileRead:
    """Process a failed or cancelled file, or its pending version, again, as if it was just uploaded."""
    await control.retry(project_id, file_id)
    return await service.read(project_id, file_id)


@router.get(
    "/projects/{project_id}/files/{file_id}/events",
    openapi_extra=requires(Scope.FILES_READ),
    response_class=EventResponse,
    responses=responses(ProjectNotFoundError, FileUnknownError, TooManyEventStreamsError),
)
async def watch_file(
    request: Request,
    principal: PrincipalDep,
    settings: SettingsDep,
    service: FileEventServiceDep,
    project_id: ProjectId,
    file_id: FileId,
) -> Response:
    """Server-sent events of one file until it is finished: `file` for each change, and `done`."""
    events = await service.of_file(project_id, file_id)
    return long_stream(request, principal, settings, Scope.FILES_READ, events)


@router.get(
    "/projects/{project_id}/batches/{batch_id}",
    openapi_extra=requires(Scope.FILES_READ),
    responses=responses(ProjectNotFoundError, BatchUnknownError, EngineMissingError),
)
async def read_batch(
    service: StoredFileServiceDep, project_id: ProjectId, batch_id: BatchId, limit: Limit = 100, after: After = None
) -> BatchRead:
    """An upload as it stands now: the counts of all its files, and a page of them."""
    return await service.read_batch(project_id, batch_id, limit=limit, after=after)


@router.post(
    "/projects/{project_id}/batches/{batch_id}/cancel",
    openapi_extra=requires(Scope.FILES_WRITE),
    responses=responses(ProjectNotFoundError, BatchUnknownError, EngineMissingError),
)
async def cancel_batch(
    control: FileControlServiceDep, service: StoredFileServiceDep, project_id: ProjectId, batch_id: BatchId
) -> BatchRead:
    """Stop the work on the unfinished files of an upload. Files that are finished stay as they are."""
    await control.cancel_batch(project_id, batch_id)
    return await service.read_batch(project_id, batch_id, limit=100, after=None)


@router.get(
    "/projects/{project_id}/batches/{batch_id}/events",
    openapi_extra=requires(Scope.FILES_READ),
    response_class=EventResponse,
    responses=responses(ProjectNotFoundError, BatchUnknownError, TooManyEventStreamsError),
)
async def watch_batch(
    request: Request,
    principal: PrincipalDep,
    settings: SettingsDep,
    service: FileEventServiceDep,
    project_id: ProjectId,
    batch_id: BatchId,
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent events of an upload until it is finished: `file`, `batch` with the counts, and `done`."""
    events = await service.of_batch(project_id, batch_id, last_event_id)
    return long_stream(request, principal, settings, Scope.FILES_READ, events)


@router.get(
    "/projects/{project_id}/events",
    openapi_extra=requires(Scope.FILES_READ),
    response_class=EventResponse,
    responses=responses(ProjectNotFoundError, TooManyEventStreamsError),
)
async def watch_project(
    request: Request,
    principal: PrincipalDep,
    settings: SettingsDep,
    service: FileEventServiceDep,
    project_id: ProjectId,
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent `file` events of all files of a project, beginning with those in progress. It has no end."""
    events = await service.of_project(project_id, last_event_id)
    return long_stream(request, principal, settings, Scope.FILES_READ, events)
