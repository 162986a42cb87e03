"""Provides the tenant in which this installation evaluates, on a plan without caps that nobody else can take."""

from __future__ import annotations

import asyncio
from uuid import UUID

from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import MAX_AMOUNT, PlanChange
from fastapi_ignite.cli.schema_check import require_schema
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses, open_services
from fastapi_ignite.onboarding.service import add_tenant
from fastapi_ignite.tenants.repository import TenantRepo

PLAN_ID = "evaluation"
NAME = "Evaluation"
UNCAPPED = PlanChange(
    name=NAME,
    max_projects=MAX_AMOUNT,
    monthly_message_cap=MAX_AMOUNT,
    monthly_upload_char_cap=MAX_AMOUNT,
    rate_limit_rpm=10**9,
    active=True,
)


def evaluation_tenant(settings: Settings) -> UUID:
    """Return the tenant's id; the first call makes the tenant and its plan.

    One tenant serves all evaluations, because what is embedded once in a tenant is not embedded again there.
    """
    with open_services(settings) as services:
        require_schema(services)
        return asyncio.run(_find_or_make(services.addresses))


async def _find_or_make(addresses: ServiceAddresses) -> UUID:
    database = Database(addresses.worker_url, pool_size=1, application_name="ignite-cli")
    try:
        async with database.system() as session:
            tenants, plans = TenantRepo(session), PlanService(session)
            if tenant := await tenants.oldest_on_plan(PLAN_ID):
                return tenant.id
            # Others never see the plan active, and of two evaluations that begin together one waits for its row here.
            await plans.put(PLAN_ID, UNCAPPED)
            if tenant := await tenants.oldest_on_plan(PLAN_ID):
                await plans.deactivate(PLAN_ID)
                return tenant.id
            tenant_id = new_id()
            await add_tenant(session, tenant_id, name=NAME, plan_id=PLAN_ID, cycle=BillingCycle.MONTHLY)
            await plans.deactivate(PLAN_ID)
            return tenant_id
    finally:
        await database.close()
