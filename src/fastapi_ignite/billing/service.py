"""Subscribing, and what a tenant's subscription allows."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.billing.models import BillingCycle, Plan, Subscription
from fastapi_ignite.billing.periods import Window, window_at
from fastapi_ignite.billing.repository import PlanRepo, SubscriptionRepo
from fastapi_ignite.billing.schemas import PlanLimits, SubscriptionPeriods
from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import IgniteError, InvalidInputError, NotFoundError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.tenants.repository import TenantRepo
from fastapi_ignite.tenants.service import TenantNotFoundError


class UnknownPlanError(NotFoundError):
    """No plan has this id."""

    code = "plan_not_found"
    title = "Unknown plan"


class UnknownCycleError(InvalidInputError):
    """Neither monthly nor annual."""

    code = "invalid_billing_cycle"
    title = "Unknown billing cycle"


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
        self._audit = AuditLog(session)

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
        before = {"plan_id": current.plan_id, "billing_cycle": current.billing_cycle} if current else None
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
        self._audit.record(
            self._tenant_id,
            Action.SUBSCRIPTION_CHANGED,
            subscription.id,
            before=before,
            after={"plan_id": plan.id, "billing_cycle": cycle},
        )
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
