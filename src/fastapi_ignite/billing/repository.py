"""SQL of plans and subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from fastapi_ignite.billing.models import Plan, Subscription
from fastapi_ignite.billing.terms import Terms

WITH_PLANS = (joinedload(Subscription.stored_plan, innerjoin=True), joinedload(Subscription.pending_plan))


class PlanRepo:
    """Plans belong to no tenant; a tenant's transaction may only read them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, plan_id: str) -> Plan | None:
        """The plan, if its id is known."""
        return await self._session.get(Plan, plan_id)

    async def list_all(self, *, active_only: bool = False, limit: int | None = None, skip: int = 0) -> Sequence[Plan]:
        """The plans by id."""
        statement = select(Plan).order_by(Plan.id).limit(limit).offset(skip)
        if active_only:
            statement = statement.where(Plan.active)
        return (await self._session.scalars(statement)).all()

    async def add(self, plan_id: str, values: dict[str, Any]) -> bool:
        """Insert; false when somebody has made it by now. Needs its name and caps."""
        statement = insert(Plan).values(id=plan_id, **values).on_conflict_do_nothing(index_elements=[Plan.id])
        return (await self._session.execute(statement.returning(Plan.id))).first() is not None

    async def change(self, plan_id: str, values: dict[str, Any]) -> Plan:
        """Set the values given."""
        plan = await self._session.get_one(Plan, plan_id, with_for_update=True, populate_existing=True)
        for name, value in values.items():
            setattr(plan, name, value)
        await self._session.flush()
        await self._session.refresh(plan)
        return plan


class SubscriptionRepo:
    """The active plan and the anchors of a tenant's windows."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def get(self) -> Subscription | None:
        """The subscription with its plans loaded."""
        statement = self._own().options(*WITH_PLANS).execution_options(populate_existing=True)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def lock(self) -> Subscription | None:
        """The same; whoever else would change it waits until this transaction ends."""
        # the row alone: joined with its plan, one whose plan changes while it is waited for would not be found
        await self._session.execute(self._own().with_only_columns(Subscription.id).with_for_update(key_share=True))
        return await self.get()

    async def add(self, subscription_id: UUID, terms: Terms) -> bool:
        """Insert; false when the tenant has one by now."""
        row = await self._session.execute(
            insert(Subscription)
            .values(
                tenant_id=self._tenant_id,
                id=subscription_id,
                plan_id=terms.plan_id,
                billing_cycle=terms.cycle,
                billing_anchor=terms.billing_anchor,
                quota_anchor=terms.quota_anchor,
            )
            .on_conflict_do_nothing(index_elements=[Subscription.tenant_id])
            .returning(Subscription.id)
        )
        return row.first() is not None

    async def store(self, subscription: Subscription, terms: Terms) -> Subscription:
        """Write the terms down; the plans that belong to them are loaded."""
        subscription.terms = terms
        await self._session.flush()
        await self._session.refresh(subscription, ["stored_plan", "pending_plan"])
        return subscription

    def _own(self) -> Select[Subscription]:
        return select(Subscription).where(Subscription.tenant_id == self._tenant_id)


async def claim_due(session: AsyncSession, *, day: date, limit: int) -> Sequence[Subscription]:
    """Subscriptions whose scheduled change has come, locked. Needs a system transaction."""
    statement = (
        select(Subscription)
        .where(Subscription.pending_on <= day)
        .order_by(Subscription.pending_on)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return (await session.scalars(statement)).all()


async def unsynced(session: AsyncSession, *, since: datetime, after: UUID, limit: int) -> Sequence[Subscription]:
    """Subscriptions that changed, or a day began, since the provider saw them. Needs a system transaction.

    One that ended as it should needs no further look; one that is owed for is looked at until it is paid.
    """
    seen_at, ends_on, owed = Subscription.synced_at, Subscription.ends_on, Subscription.past_due_on.is_not(None)
    a_new_day = and_(seen_at < since, or_(ends_on.is_(None), seen_at < ends_on, owed))
    statement = (
        select(Subscription)
        .where(or_(seen_at.is_(None), seen_at < Subscription.updated_at, a_new_day), Subscription.tenant_id > after)
        .order_by(Subscription.tenant_id)
        .limit(limit)
        .options(*WITH_PLANS)
    )
    return (await session.scalars(statement)).all()


async def record_payment_status(
    session: AsyncSession, subscription: Subscription, terms: Terms, *, seen_at: datetime | None
) -> None:
    """What the provider said of the state it was shown at `seen_at`; null: of a state that is not the present one.

    `updated_at` stays, for nothing of this is to be told.
    """
    await session.execute(
        update(Subscription)
        .where(Subscription.tenant_id == subscription.tenant_id, Subscription.id == subscription.id)
        .values(
            past_due_on=terms.past_due_on,
            grace_ends_on=terms.grace_ends_on,
            synced_at=seen_at or Subscription.synced_at,
            updated_at=Subscription.updated_at,
        )
    )


async def database_time(session: AsyncSession) -> datetime:
    """The clock that `updated_at` is by."""
    now: datetime = (await session.execute(select(func.now()))).scalar_one()
    return now
