"""SQL of plans and subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from fastapi_ignite.billing.models import Plan, Subscription


class PlanRepo:
    """Plans belong to no tenant; only a system transaction may write them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, plan_id: str) -> Plan | None:
        """The plan, if its id is known."""
        return await self._session.get(Plan, plan_id)

    async def list_all(self) -> Sequence[Plan]:
        """Every plan, by id."""
        return (await self._session.scalars(select(Plan).order_by(Plan.id))).all()

    async def upsert(self, plan_id: str, values: dict[str, str | int | None]) -> Plan:
        """Make the plan, or change the values given. A new plan needs all of them."""
        plan = await self._session.get(Plan, plan_id, with_for_update=True)
        if plan is None:
            plan = Plan(id=plan_id)
            self._session.add(plan)
        for name, value in values.items():
            setattr(plan, name, value)
        await self._session.flush()
        return plan


class SubscriptionRepo:
    """The active plan and the anchors of a tenant's windows."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def get(self) -> Subscription | None:
        """The subscription with its plan loaded."""
        return (
            await self._session.execute(
                select(Subscription)
                .where(Subscription.tenant_id == self._tenant_id)
                .options(joinedload(Subscription.plan, innerjoin=True))
            )
        ).scalar_one_or_none()

    async def put(self, subscription: Subscription) -> None:
        """Insert, or replace the plan and the anchors of the one there is."""
        values = {
            "plan_id": subscription.plan_id,
            "billing_cycle": subscription.billing_cycle,
            "billing_anchor": subscription.billing_anchor,
            "quota_anchor": subscription.quota_anchor,
        }
        await self._session.execute(
            insert(Subscription)
            .values(tenant_id=self._tenant_id, id=subscription.id, **values)
            .on_conflict_do_update(index_elements=[Subscription.tenant_id], set_=values)
        )
