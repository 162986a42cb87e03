"""The background work of exports. Each job's arguments are the tenant and the export."""

from __future__ import annotations

from uuid import UUID

from fastapi_ignite.core import clock
from fastapi_ignite.exports.models import IN_PROGRESS, Export, ExportState
from fastapi_ignite.exports.repository import claim_expired, named_keys
from fastapi_ignite.infra.jobs import Job, Priority, TaskContext, job, periodic
from fastapi_ignite.infra.jobs.lost_work import resend_lost

__all__ = ["expire_exports", "export_tenant", "find_lost_exports", "named_keys", "remove_export"]


# One at a time, so that a few large tenants leave threads for everybody's uploads.
@job("exports.export_tenant", "exports", Priority.BULK, time_limit=6 * 3_600_000, serial=True)
async def export_tenant(context: TaskContext, tenant_id: UUID, export_id: UUID) -> None:
    """Write the archive of an export."""
    from fastapi_ignite.exports.processing import ExportProcessor

    await ExportProcessor(database=context.database, storage=context.storage).process(tenant_id, export_id)


@job("exports.remove_export", "exports", Priority.BULK)
async def remove_export(context: TaskContext, tenant_id: UUID, export_id: UUID) -> None:
    """Remove an expired export."""
    from fastapi_ignite.exports.processing import ExportProcessor

    await ExportProcessor(database=context.database, storage=context.storage).remove(tenant_id, export_id)


@periodic(seconds=5)
async def find_lost_exports(context: TaskContext) -> int:
    """Send the message of an export again if it was lost or its worker died."""
    jobs: dict[str, Job] = {**dict.fromkeys(IN_PROGRESS, export_tenant), ExportState.EXPIRED: remove_export}
    return await resend_lost(context, Export, jobs)


@periodic(seconds=300)
async def expire_exports(context: TaskContext) -> None:
    """Hide exports after seven days and start their removal."""
    async with context.database.system() as session:
        for row in await claim_expired(session, now=clock.now()):
            context.jobs.enqueue(session, remove_export, row.tenant_id, row.id)
