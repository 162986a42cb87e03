"""SQL of tenants."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.tenants.models import Tenant

# Deletions are a feature beside this one, so their table is known here by its name only.
_ERASED = text("SELECT tenant_id FROM deletions WHERE kind = 'tenant' AND tenant_id = ANY(CAST(:tenant_ids AS uuid[]))")


class TenantRepo:
    """The tenants. A tenant's transaction sees only that tenant, an operator's sees all of them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, tenant_id: UUID, *, lock: bool = False) -> Tenant | None:
        """Return the tenant, or None. Transactions that lock it take turns."""
        return await self._session.get(Tenant, tenant_id, with_for_update=lock)

    async def page(
        self, *, limit: int, after: UUID | None, name: str | None, status: Literal["active", "suspended"] | None
    ) -> Sequence[Tenant]:
        """Return a page ordered by id, which is also the order of creation."""
        statement = select(Tenant).order_by(Tenant.id).limit(limit)
        if after is not None:
            statement = statement.where(Tenant.id > after)
        if name is not None:
            statement = statement.where(Tenant.name.icontains(name, autoescape=True))
        if status is not None:
            suspended = Tenant.suspended_at.is_not(None)
            statement = statement.where(suspended if status == "suspended" else ~suspended)
        return (await self._session.scalars(statement)).all()

    async def erased_among(self, tenant_ids: Collection[UUID]) -> set[UUID]:
        """Return those tenants that are being erased."""
        return set(await self._session.scalars(_ERASED, {"tenant_ids": list(tenant_ids)}))

    async def oldest_on_plan(self, plan_id: str) -> Tenant | None:
        """Return the oldest tenant of the plan that is not suspended, or None. It needs a system transaction."""
        found = await self._session.scalars(
            select(Tenant).where(Tenant.plan_id == plan_id, Tenant.suspended_at.is_(None)).order_by(Tenant.id).limit(1)
        )
        return found.one_or_none()

    async def add(self, tenant: Tenant) -> None:
        """Insert the tenant at once, so that rows that refer to it may follow."""
        self._session.add(tenant)
        await self._session.flush()

    async def set_plan(self, tenant_id: UUID, *, plan_id: str, billing_cycle: str) -> None:
        """Copy the plan of the subscription into the tenant."""
        await self._session.execute(
            update(Tenant).where(Tenant.id == tenant_id).values(plan_id=plan_id, billing_cycle=billing_cycle)
        )
