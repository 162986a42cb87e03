"""Closes a tenant in one transaction; a worker removes what it held."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.deletions.models import Kind
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.deletions.schemas import DeletionRead
from fastapi_ignite.erasure.errors import ErasureNotConfirmedError, ExportRequiredError
from fastapi_ignite.erasure.repository import ErasureRepo
from fastapi_ignite.erasure.schemas import TenantErasure
from fastapi_ignite.erasure.tasks import erase_tenant
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion.project_rows import stop_work
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.tenants.repository import TenantRepo
from fastapi_ignite.usage.service import UsageService


class TenantErasureService:
    """Erases one tenant. It works in a transaction of that tenant, also for an administrator."""

    def __init__(self, session: AsyncSession, jobs: JobQueue, tenant_id: UUID) -> None:
        self._session = session
        self._jobs = jobs
        self._tenant_id = tenant_id
        self._deletions = DeletionRepo(session, tenant_id)
        self._rows = ErasureRepo(session, tenant_id)

    async def erase(self, erasure: TenantErasure) -> DeletionRead:
        """Close the tenant for good from the commit on, or return the receipt if it is closed already.

        Raises:
            TenantNotFoundError: No tenant has this id.
            ErasureNotConfirmedError: The confirmation names something else.
            ExportRequiredError: The tenant has no downloaded archive of all that it holds.
        """
        if await self._deletions.get(self._tenant_id) is None:
            await self._require_consent(erasure)
            # from here on, a second request at the same time waits for this one
            if await self._deletions.begin_once(Kind.TENANT, self._tenant_id):
                await self._close(without_export=erasure.without_export)
        deletion = await self._deletions.get(self._tenant_id)
        if deletion is None:
            raise TenantNotFoundError("No tenant has this id.")
        return DeletionRead.of(deletion)

    async def _require_consent(self, erasure: TenantErasure) -> None:
        tenant = await TenantRepo(self._session).get(self._tenant_id)
        if tenant is None:
            raise TenantNotFoundError("No tenant has this id.")
        if erasure.confirm not in {tenant.name, str(tenant.id)}:
            raise ErasureNotConfirmedError("confirm must be the name or the id of the tenant that is to be erased.")
        if erasure.without_export:
            return
        archive = await self._rows.whole_archive()
        if archive is None:
            raise ExportRequiredError(
                "No archive with the uploaded files holds everything. POST /tenants/export?include_files=true makes "
                "one.",
                export_id=None,
            )
        if not archive.is_downloaded:
            raise ExportRequiredError(
                f"The archive is erased too, and nobody has downloaded it: GET /tenants/exports/{archive.export_id}"
                "/download.",
                export_id=str(archive.export_id),
            )

    async def _close(self, *, without_export: bool) -> None:
        """Hide everything, end all work, and give back what was reserved.

        Rows are locked in the order of everybody else: projects, files and messages, counters, the subscription, the
        tenant.
        """
        projects = ProjectService(self._session, self._tenant_id)
        locked = await projects.lock_all()
        held = await stop_work(self._session, self._tenant_id, [project.id for project in locked])
        await UsageService(self._session, self._tenant_id).release(*held)
        await self._rows.end_exports()
        await self._deletions.complete_parts()
        for project in locked:
            await projects.hide(project)
        await BillingService(self._session, self._tenant_id).end()
        AuditLog(self._session).record(
            self._tenant_id, Action.TENANT_ERASED, self._tenant_id, without_export=without_export
        )
        self._jobs.enqueue(self._session, erase_tenant, self._tenant_id, self._tenant_id)
