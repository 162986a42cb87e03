"""Subscribing, and what a tenant's subscription allows."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.billing.models import BillingCycle, Plan, Subscription
from fastapi_ignite.billing.periods import Window, window_at
from fastapi_ignite.billing.repository import PlanRepo, SubscriptionRepo
from fastapi_ignite.billing.schemas import PlanLimits, SubscriptionPeriods
from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import IgniteError, InvalidInputError, NotFoundError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.tenants.repository import TenantRepo

RATE_CACHE_SECONDS = 1.0
RATE_CACHE_TENANTS = 50_000


class UnknownPlanError(NotFoundError):
    """No plan has this id."""

    code = "plan_not_found"
    title = "Unknown plan"


class UnknownCycleError(InvalidInputError):
    """Neither monthly nor annual."""

    code = "invalid_billing_cycle"
    title = "Unknown billing cycle"


class TenantNotFoundError(NotFoundError):
    """The token's tenant does not exist."""

    code = "tenant_not_found"
    title = "Unknown tenant"


class SubscriptionRequiredError(IgniteError):
    """The tenant has no plan."""

    status = 402
    code = "subscription_required"
    title = "Subscription required"


@dataclass(frozen=True, slots=True)
class ActiveSubscription:
    """A subscription with the windows of today."""

    plan: Plan
    billing_cycle: BillingCycle
    billing: Window
    quota: Window

    @classmethod
    def of(cls, subscription: Subscription) -> ActiveSubscription:
        """Windows as of the clock's day."""
        cycle = BillingCycle(subscription.billing_cycle)
        today = clock.today()
        return cls(
            plan=subscription.plan,
            billing_cycle=cycle,
            billing=window_at(subscription.billing_anchor, cycle.months, today),
            quota=window_at(subscription.quota_anchor, 1, today),
        )

    def describe(self) -> SubscriptionPeriods:
        """As callers see it."""
        return SubscriptionPeriods(
            plan_id=self.plan.id,
            plan_name=self.plan.name,
            billing_cycle=self.billing_cycle,
            period_start=self.billing.start,
            period_end=self.billing.end,
            quota_period_start=self.quota.start,
            quota_period_end=self.quota.end,
            limits=PlanLimits.of(self.plan),
        )


def parse_cycle(value: str) -> BillingCycle:
    """`monthly` or `annual`."""
    try:
        return BillingCycle(value)
    except ValueError:
        raise UnknownCycleError("A billing cycle is 'monthly' or 'annual'.", allowed=list(BillingCycle)) from None


class BillingService:
    """Works in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._plans = PlanRepo(session)
        self._subscriptions = SubscriptionRepo(session, tenant_id)
        self._tenants = TenantRepo(session)

    async def plan(self, plan_id: str) -> Plan:
        """The plan, or a refusal."""
        plan = await self._plans.get(plan_id)
        if plan is None:
            raise UnknownPlanError("No plan has this id.", plan_id=plan_id[:100])
        return plan

    async def subscribe(self, *, plan_id: str, cycle: BillingCycle) -> ActiveSubscription:
        """Put the tenant on a plan, at once.

        Usage and the quota month stay as they are, so changing plans back and forth refills nothing. Another billing
        cycle begins a new billing window today.
        """
        plan = await self.plan(plan_id)
        if await self._tenants.get(self._tenant_id) is None:
            raise TenantNotFoundError("The token's tenant does not exist; create it with POST /tenants/create.")
        current = await self._subscriptions.get()
        today = clock.today()
        same_cycle = current is not None and current.billing_cycle == cycle
        subscription = Subscription(
            tenant_id=self._tenant_id,
            id=current.id if current else new_id(),
            plan_id=plan.id,
            billing_cycle=cycle,
            billing_anchor=current.billing_anchor if current and same_cycle else today,
            quota_anchor=current.quota_anchor if current else today,
        )
        await self._subscriptions.put(subscription)
        await self._tenants.set_plan(self._tenant_id, plan_id=plan.id, billing_cycle=cycle)
        subscription.plan = plan
        return ActiveSubscription.of(subscription)

    async def current(self) -> ActiveSubscription | None:
        """What the tenant is on, if anything."""
        subscription = await self._subscriptions.get()
        return ActiveSubscription.of(subscription) if subscription else None

    async def required(self) -> ActiveSubscription:
        """What the tenant is on, or a refusal."""
        active = await self.current()
        if active is None:
            raise SubscriptionRequiredError("This tenant has no active subscription; see POST /billing/subscribe.")
        return active


class PlanRates:
    """A tenant's requests a minute, remembered for a second: a changed plan acts within that."""

    def __init__(self, database: Database, default_rpm: int) -> None:
        self._database = database
        self._default_rpm = default_rpm
        self._known: dict[UUID, tuple[float, int]] = {}
        self._lookups: dict[UUID, asyncio.Task[int]] = {}

    async def rpm(self, tenant_id: UUID) -> int:
        """The plan's own number, else the setting's. Requests that come together share one look at the database."""
        known = self._known.get(tenant_id)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        lookup = self._lookups.get(tenant_id)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(tenant_id))
            self._lookups[tenant_id] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(tenant_id, None))
        return await asyncio.shield(lookup)

    async def _look_up(self, tenant_id: UUID) -> int:
        until = time.monotonic() + RATE_CACHE_SECONDS
        async with self._database.tenant(tenant_id) as session:
            subscription = await SubscriptionRepo(session, tenant_id).get()
        own = subscription.plan.rate_limit_rpm if subscription else None
        rpm = own or self._default_rpm
        if len(self._known) >= RATE_CACHE_TENANTS:
            self._known.clear()
        self._known[tenant_id] = (until, rpm)
        return rpm
