"""A tenant with its first subscription, in one transaction."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.service import ActiveSubscription, BillingService
from fastapi_ignite.tenants.models import Tenant
from fastapi_ignite.tenants.repository import TenantRepo


class OnboardingService:
    """Works in a transaction that belongs to the tenant to be."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._tenants = TenantRepo(session)
        self._audit = AuditLog(session)
        self._billing = BillingService(session, tenant_id)

    async def create(self, *, name: str, plan_id: str, cycle: BillingCycle) -> ActiveSubscription:
        """Nothing is made when the plan is unknown."""
        plan = await self._billing.plan(plan_id)
        await self._tenants.add(Tenant(id=self._tenant_id, name=name, plan_id=plan.id, billing_cycle=cycle))
        self._audit.record(self._tenant_id, Action.TENANT_CREATED, self._tenant_id, name=name)
        return await self._billing.subscribe(plan_id=plan.id, cycle=cycle)
