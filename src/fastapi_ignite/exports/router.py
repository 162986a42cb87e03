"""Exports over HTTP."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query
from fastapi.responses import StreamingResponse

from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.exports.errors import ExportNotFoundError, ExportNotReadyError, TooManyExportsError
from fastapi_ignite.exports.schemas import EXPORT_EXAMPLE, ExportRead
from fastapi_ignite.exports.service import ExportService
from fastapi_ignite.http.deps import DatabaseDep, JobsDep, PrincipalDep, StorageDep, ensure_idempotent
from fastapi_ignite.http.problems import RateLimitedError, responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.infra.idempotency import Claim, IdempotencyConflictError
from fastapi_ignite.tenants.errors import TenantNotFoundError

router = tenant_router("/tenants", "exports", "Download everything that is stored about a tenant, as one archive.")
ZIP = "application/zip"
ZIP_CONTENT: dict[str, Any] = {"content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}}


class ZipResponse(StreamingResponse):
    """An archive in blocks."""

    media_type = ZIP


async def _service(principal: PrincipalDep, database: DatabaseDep, storage: StorageDep, jobs: JobsDep) -> ExportService:
    return ExportService(database=database, storage=storage, jobs=jobs, tenant_id=principal.tenant_id)


ExportServiceDep = Annotated[ExportService, Depends(_service)]
ExportId = Annotated[UUID, Path(examples=[EXPORT_EXAMPLE])]


@router.post(
    "/export",
    openapi_extra=requires(Scope.EXPORTS_WRITE),
    status_code=202,
    responses=responses(
        TenantNotFoundError, RateLimitedError, TooManyExportsError, IdempotencyConflictError, UnavailableError
    ),
)
async def start_export(
    service: ExportServiceDep,
    claim: Annotated[Claim | None, ensure_idempotent("/tenants/exports/{id}")],
    *,
    include_files: Annotated[bool, Query(description="Put the uploaded bytes into the archive too.")] = False,
) -> ExportRead:
    """Collect everything kept about the tenant into one archive, in the background.

    While one export is in progress, starting another returns that one.
    """
    return await service.start(claim, include_files=include_files)


@router.get(
    "/exports/{export_id}", openapi_extra=requires(Scope.EXPORTS_READ), responses=responses(ExportNotFoundError)
)
async def read_export(service: ExportServiceDep, export_id: ExportId) -> ExportRead:
    """Return the state of an export."""
    return await service.read(export_id)


@router.get(
    "/exports/{export_id}/download",
    openapi_extra=requires(Scope.EXPORTS_READ),
    response_class=ZipResponse,
    responses={200: ZIP_CONTENT, **responses(ExportNotFoundError, ExportNotReadyError)},
)
async def download_export(service: ExportServiceDep, export_id: ExportId) -> ZipResponse:
    """The archive: JSON lines by kind of row, uploads when asked for, and a manifest with counts and hashes."""
    download = await service.open(export_id)
    return ZipResponse(
        download.blocks,
        headers={
            "Content-Length": str(download.byte_count),
            "Content-Disposition": f'attachment; filename="export-{download.export_id}.zip"',
        },
    )
