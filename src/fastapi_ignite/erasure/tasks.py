"""Runs erasures in the background. Both arguments of the job are the id of the tenant."""

from __future__ import annotations

from datetime import time
from uuid import UUID

import structlog

from fastapi_ignite.billing.provider import make_provider
from fastapi_ignite.deletions.models import Deletion, DeletionState, Kind
from fastapi_ignite.deletions.repository import DeletionRepo
from fastapi_ignite.infra.jobs import Job, Priority, TaskContext, job, periodic
from fastapi_ignite.infra.jobs.lost_work import resend_lost
from fastapi_ignite.worker_context import WorkerContext

log = structlog.get_logger(__name__)


@job("erasure.erase_tenant", "maintenance", Priority.BACKGROUND, time_limit=6 * 3_600_000)
async def erase_tenant(context: WorkerContext, tenant_id: UUID, deletion_id: UUID) -> None:
    """Remove what an erased tenant held."""
    from fastapi_ignite.erasure.removal import TenantRemover
    from fastapi_ignite.infra.tenant_keys import TenantKeys
    from fastapi_ignite.ingestion.project_deletion import ProjectRemover

    await TenantRemover(
        database=context.database,
        storage=context.storage,
        projects=ProjectRemover(database=context.database, storage=context.storage, engines=context.engines),
        provider=make_provider(context.settings),
        keys=TenantKeys(context.settings.cache, redis_url=context.redis_url),
    ).run(tenant_id, deletion_id)


@periodic(seconds=5)
async def find_lost_erasures(context: TaskContext) -> int:
    """Send the message of an erasure again if it was lost or its worker died."""
    jobs: dict[str, Job] = {DeletionState.IN_PROGRESS: erase_tenant}
    return await resend_lost(context, Deletion, jobs, only=Deletion.kind == Kind.TENANT)


@periodic(daily_at=time(3, 10))
async def find_leftovers(context: TaskContext) -> int:
    """Erase again what a late request has written of an erased tenant."""
    from fastapi_ignite.erasure.repository import tenants_with_leftovers

    async with context.database.system() as session:
        tenants = await tenants_with_leftovers(session)
    for tenant_id in tenants:
        async with context.database.system() as session:
            await DeletionRepo(session, tenant_id).begin(Kind.TENANT, tenant_id)
            context.jobs.enqueue(session, erase_tenant, tenant_id, tenant_id)
    if tenants:
        log.warning("erased tenants had rows again", count=len(tenants))
    return len(tenants)
