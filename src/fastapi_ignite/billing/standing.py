"""What the entrance needs to know of a tenant: its requests a minute, and whether it is suspended."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from fastapi_ignite.billing.models import Plan, Subscription
from fastapi_ignite.core.remembered import Remembered
from fastapi_ignite.http.state import Standing
from fastapi_ignite.infra.db import Database
from fastapi_ignite.tenants.models import Tenant

REMEMBERED_SECONDS = 1.0


class TenantDirectory:
    """Remembered for a second: a changed plan or a suspension acts within that."""

    def __init__(self, database: Database, default_rpm: int) -> None:
        self._database = database
        self._default_rpm = default_rpm
        self._standings = Remembered(self._look_up, seconds=REMEMBERED_SECONDS)

    async def standing(self, tenant_id: UUID) -> Standing:
        """Of an unknown tenant too: that it does not exist is for the operation to say."""
        return await self._standings.get(tenant_id)

    async def _look_up(self, tenant_id: UUID) -> Standing:
        statement = (
            select(Plan.rate_limit_rpm, Tenant.suspended_at)
            .select_from(Tenant)
            .outerjoin(Subscription, Subscription.tenant_id == Tenant.id)
            .outerjoin(Plan, Plan.id == Subscription.plan_id)
            .where(Tenant.id == tenant_id)
        )
        async with self._database.tenant(tenant_id) as session:
            row = (await session.execute(statement)).one_or_none()
        rpm, suspended_at = row or (None, None)
        return Standing(rpm=rpm or self._default_rpm, suspended=suspended_at is not None)
