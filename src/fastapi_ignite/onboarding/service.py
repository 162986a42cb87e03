"""Makes a tenant with its first subscription in one transaction."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import Claim, IdempotentWork
from fastapi_ignite.onboarding.schemas import TenantCreated
from fastapi_ignite.tenants.models import Tenant
from fastapi_ignite.tenants.repository import TenantRepo


class OnboardingService:
    """Opens its own transaction, which belongs to the tenant to be."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, *, name: str, plan_id: str, cycle: BillingCycle, claim: Claim | None = None
    ) -> TenantCreated:
        """Make the tenant and put it on the plan.

        Raises:
            UnknownPlanError: No plan with this id can be taken; nothing is made.
            IdempotencyConflictError: The same request was made before.
        """
        tenant_id = new_id()
        async with IdempotentWork(self._database, claim) as work, self._database.tenant(tenant_id) as session:
            await work.begin(session)
            created = await add_tenant(session, tenant_id, name=name, plan_id=plan_id, cycle=cycle)
            await work.complete(session, created)
        return created


async def add_tenant(
    session: AsyncSession, tenant_id: UUID, *, name: str, plan_id: str, cycle: BillingCycle
) -> TenantCreated:
    """Make the tenant and put it on the plan, in a transaction of this tenant or of the system.

    Raises:
        UnknownPlanError: No plan with this id can be taken; nothing is made.
    """
    billing = BillingService(session, tenant_id)
    plan = await billing.plan(plan_id)
    await TenantRepo(session).add(Tenant(id=tenant_id, name=name, plan_id=plan.id, billing_cycle=cycle))
    AuditLog(session).record(tenant_id, Action.TENANT_CREATED, tenant_id, name=name)
    active = await billing.subscribe(plan_id=plan.id, cycle=cycle)
    return TenantCreated(tenant_id=tenant_id, **TenantCreated.fields_of(active))
