"""Starts, shows and hands out a tenant's exports."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.exports.errors import ExportNotFoundError, ExportNotReadyError, TooManyExportsError
from fastapi_ignite.exports.models import Export, ExportState
from fastapi_ignite.exports.repository import ExportRepo
from fastapi_ignite.exports.schemas import ExportRead
from fastapi_ignite.exports.tasks import export_tenant
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import Claim, IdempotentWork
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.tenants.repository import TenantRepo

MOST_KEPT = 10
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class ExportDownload:
    """An archive that a caller downloads."""

    export_id: UUID
    byte_count: int
    blocks: AsyncGenerator[bytes]


class ExportService:
    """The exports of one tenant. It opens its own short transactions."""

    def __init__(self, *, database: Database, storage: Storage, jobs: JobQueue, tenant_id: UUID) -> None:
        self._database = database
        self._storage = storage
        self._jobs = jobs
        self._tenant_id = tenant_id

    async def start(self, claim: Claim | None, *, include_files: bool) -> ExportRead:
        """Start an export, or return the one in progress as it is.

        Raises:
            TenantNotFoundError: The token's tenant does not exist.
            TooManyExportsError: The tenant keeps as many archives as it may.
            IdempotencyConflictError: The same request was made before.
        """
        async with (
            IdempotentWork(self._database, claim) as work,
            self._database.tenant(self._tenant_id) as session,
        ):
            await work.begin(session)
            if await TenantRepo(session).get(self._tenant_id) is None:
                raise TenantNotFoundError("The token's tenant does not exist.")
            exports = ExportRepo(session, self._tenant_id)
            export = await self._begin(exports, AuditLog(session), include_files=include_files)
            started = ExportRead.of(export)
            await work.complete(session, started)
            if export.state == ExportState.QUEUED:
                self._jobs.enqueue(session, export_tenant, self._tenant_id, export.id)
        return started

    async def _begin(self, exports: ExportRepo, audit: AuditLog, *, include_files: bool) -> Export:
        for _ in range(ROUNDS):
            running = await exports.in_progress()
            if running:
                return running
            if await exports.kept() >= MOST_KEPT:
                raise TooManyExportsError(
                    f"{MOST_KEPT} archives are kept; each is removed seven days after it was made.", cap=MOST_KEPT
                )
            started = await exports.add(new_id(), include_files=include_files)
            if started:
                audit.record(self._tenant_id, Action.EXPORT_STARTED, started.id, include_files=include_files)
                return started
        raise UnavailableError("Other exports of the tenant begin and end at this moment; try again.")

    async def read(self, export_id: UUID) -> ExportRead:
        """Return how far the export is.

        Raises:
            ExportNotFoundError: The id is unknown, expired or another tenant's.
        """
        return ExportRead.of(await self._get(export_id))

    async def _get(self, export_id: UUID) -> Export:
        async with self._database.tenant(self._tenant_id) as session:
            export = await ExportRepo(session, self._tenant_id).get(export_id)
        if export is None:
            raise ExportNotFoundError("This tenant has no export with this id.")
        return export

    async def open(self, export_id: UUID) -> ExportDownload:
        """Open the archive, and record that it was downloaded.

        Raises:
            ExportNotFoundError: The id is unknown, expired or another tenant's.
            ExportNotReadyError: There is no archive.
        """
        export = await self._get(export_id)
        if export.state != ExportState.COMPLETED or export.storage_key is None:
            raise ExportNotReadyError(
                f"The export is {export.state}; there is no archive to fetch.", state=export.state
            )
        try:
            blocks = await self._storage.read(export.storage_key)
        except FileNotFoundError:
            raise ExportNotFoundError("The archive is gone; start another export.") from None
        async with self._database.tenant(self._tenant_id) as session:
            AuditLog(session).record(self._tenant_id, Action.EXPORT_DOWNLOADED, export_id)
        return ExportDownload(export.id, export.byte_count or 0, blocks)
