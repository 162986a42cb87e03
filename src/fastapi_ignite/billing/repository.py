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
from fastapi_ignite.billing.stored_subscription import COLUMNS, TABLES, SubscriptionRow
from fastapi_ignite.billing.terms import Terms
from fastapi_ignite.infra.db import Database, FixedStatement

_ACCESS = FixedStatement(f"""
SELECT {COLUMNS}, tenant.suspended_at IS NOT NULL, deletion.id IS NOT NULL
FROM (SELECT CAST(:tenant_id AS uuid) AS id) AS asked
LEFT JOIN tenants AS tenant ON tenant.id = asked.id
LEFT JOIN deletions AS deletion ON deletion.tenant_id = asked.id AND deletion.id = asked.id
LEFT JOIN ({TABLES}) ON s.tenant_id = asked.id
""")  # noqa: S608  all parts are constants
WITH_PLANS = (joinedload(Subscription.stored_plan, innerjoin=True), joinedload(Subscription.pending_plan))


class PlanRepo:
    """The plans, which belong to no tenant. A tenant's transaction may only read them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, plan_id: str) -> Plan | None:
        """Return the plan, or None."""
        return await self._session.get(Plan, plan_id)

    async def list_all(self, *, active_only: bool = False, limit: int | None = None, skip: int = 0) -> Sequence[Plan]:
        """Return the plans ordered by id."""
        statement = select(Plan).order_by(Plan.id).limit(limit).offset(skip)
        if active_only:
            statement = statement.where(Plan.active)
        return (await self._session.scalars(statement)).all()

    async def add(self, plan_id: str, values: dict[str, Any]) -> bool:
        """Insert a plan. Return False if the plan exists by now. The values must have a name and all caps."""
        statement = insert(Plan).values(id=plan_id, **values).on_conflict_do_nothing(index_elements=[Plan.id])
        return (await self._session.execute(statement.returning(Plan.id))).first() is not None

    async def change(self, plan_id: str, values: dict[str, Any]) -> Plan:
        plan = await self._session.get_one(Plan, plan_id, with_for_update=True, populate_existing=True)
        for name, value in values.items():
            setattr(plan, name, value)
        await self._session.flush()
        await self._session.refresh(plan)
        return plan


class SubscriptionRepo:
    """The subscription of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def get(self) -> Subscription | None:
        """Return the subscription with its plans loaded, or None."""
        statement = self._own().options(*WITH_PLANS).execution_options(populate_existing=True)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def lock(self) -> Subscription | None:
        """Return and lock the subscription: other changes of it wait until this transaction ends."""
        # without the plan: if the plan changes while this waits for the lock, a join would not find the row
        await self._session.execute(self._own().with_only_columns(Subscription.id).with_for_update(key_share=True))
        return await self.get()

    async def add(self, subscription_id: UUID, terms: Terms) -> bool:
        """Insert a subscription. Return False if the tenant has one by now."""
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
        """Store the terms, and load the plans that they name."""
        subscription.terms = terms
        await self._session.flush()
        await self._session.refresh(subscription, ["stored_plan", "pending_plan"])
        return subscription

    def _own(self) -> Select[Subscription]:
        return select(Subscription).where(Subscription.tenant_id == self._tenant_id)


async def read_access(database: Database, tenant_id: UUID) -> tuple[SubscriptionRow | None, bool, bool]:
    """Return the tenant's subscription, and whether the tenant is suspended or erased. An unknown tenant has nothing.

    A tenant is erased from the transaction on that inserts its deletion, also when nothing else is left of it.
    """
    (row,) = await database.read(tenant_id, _ACCESS, {"tenant_id": tenant_id})
    subscription, (suspended, erased) = SubscriptionRow.of(row)
    return subscription, suspended, erased


async def claim_due(session: AsyncSession, *, day: date, limit: int) -> Sequence[Subscription]:
    """Return and lock subscriptions whose scheduled change is due. It needs a system transaction."""
    statement = (
        select(Subscription)
        .where(Subscription.pending_on <= day)
        .order_by(Subscription.pending_on)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return (await session.scalars(statement)).all()


async def unsynced(session: AsyncSession, *, since: datetime, after: UUID, limit: int) -> Sequence[Subscription]:
    """Return subscriptions that the provider has not seen since they changed, or since the day began.

    One that ended paid is left out; one that is not paid is returned until it is paid. It needs a system transaction.
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
    """Store what the provider said. `seen_at` is None if the subscription changed meanwhile.

    `updated_at` stays as it is, because the provider need not be told of this.
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
    """Return the time of the database's clock, which sets `updated_at`."""
    now: datetime = (await session.execute(select(func.now()))).scalar_one()
    return now
