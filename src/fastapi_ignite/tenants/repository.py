"""SQL of tenants."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.tenants.models import Tenant


class TenantRepo:
    """Sees the one tenant its transaction belongs to."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, tenant_id: UUID) -> Tenant | None:
        """The tenant, if its id is known."""
        return await self._session.get(Tenant, tenant_id)

    async def add(self, tenant: Tenant) -> None:
        """Insert at once, so that rows that refer to it may follow."""
        self._session.add(tenant)
        await self._session.flush()

    async def set_plan(self, tenant_id: UUID, *, plan_id: str, billing_cycle: str) -> None:
        """Keep the cached plan in step with the subscription."""
        await self._session.execute(
            update(Tenant).where(Tenant.id == tenant_id).values(plan_id=plan_id, billing_cycle=billing_cycle)
        )
