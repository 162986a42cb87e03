"""Changes and reads a tenant's subscription."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.errors import (
    PaymentOverdueError,
    SubscriptionRequiredError,
    UnknownCycleError,
    UnknownPlanError,
)
from fastapi_ignite.billing.models import BillingCycle, Plan, Subscription
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.repository import SubscriptionRepo
from fastapi_ignite.billing.terms import SubscriptionStatus, Terms
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.tenants.errors import TenantNotFoundError
from fastapi_ignite.tenants.repository import TenantRepo

NO_SUBSCRIPTION = "This tenant has no active subscription; see POST /billing/subscribe."


def parse_cycle(value: str) -> BillingCycle:
    """Return the billing cycle.

    Raises:
        UnknownCycleError: The value is neither `monthly` nor `annual`.
    """
    try:
        return BillingCycle(value)
    except ValueError:
        raise UnknownCycleError("A billing cycle is 'monthly' or 'annual'.", allowed=list(BillingCycle)) from None


class BillingService:
    """The subscription of one tenant. It works in the caller's transaction.

    A change reads the clock once, after it has locked the row.
    """

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._plans = PlanService(session)
        self._subscriptions = SubscriptionRepo(session, tenant_id)
        self._tenants = TenantRepo(session)
        self._audit = AuditLog(session)

    async def plan(self, plan_id: str) -> Plan:
        """Return a plan that can be taken.

        Raises:
            UnknownPlanError: No plan has this id, or it cannot be taken any more.
        """
        plan = await self._plans.get(plan_id)
        if not plan.active:
            raise UnknownPlanError("No plan with this id can be taken.", plan_id=plan_id[:100])
        return plan

    async def subscribe(self, *, plan_id: str, cycle: BillingCycle) -> ActiveSubscription:
        """Put the tenant on a plan at once, or with the next billing window if it is a downgrade.

        Usage and the quota month stay as they are, so changing plans back and forth refills nothing. Another billing
        cycle of the same plan begins a new billing window today. If the tenant has the plan already, a scheduled change
        is withdrawn.

        Raises:
            UnknownPlanError, TenantNotFoundError: The id is unknown.
            PaymentOverdueError: The subscription ended unpaid.
        """
        subscription, today = await self._subscriptions.lock(), clock.today()
        if subscription is None:
            plan = await self.plan(plan_id)
            if await self._tenants.get(self._tenant_id) is None:
                raise TenantNotFoundError("The token's tenant does not exist; create it with POST /tenants/create.")
            terms = Terms.begin(plan.id, cycle, today)
            subscription_id = new_id()
            if await self._subscriptions.add(subscription_id, terms):
                self._record_change(subscription_id, None, terms)
            subscription = await self._locked()
        return await self._change(subscription, plan_id, cycle, today)

    async def cancel(self) -> ActiveSubscription | None:
        """End the subscription with its billing window, and withdraw a scheduled change. Nothing is deleted.

        One that ended unpaid is canceled too, so that a payment does not bring it back; the result is None then.
        """
        subscription, today = await self._locked(), clock.today()
        if not subscription.terms.overdue(today):
            _require_served(subscription, today)
        return await self._store(subscription, subscription.terms.cancel(today), today)

    async def end(self) -> None:
        """End the subscription of an erased tenant at once, if it has one."""
        subscription, today = await self._subscriptions.lock(), clock.today()
        if subscription is not None:
            await self._store(subscription, subscription.terms.end(today), today)

    async def resume(self) -> ActiveSubscription:
        """Withdraw a cancellation or a scheduled change."""
        subscription, today = await self._locked(), clock.today()
        _require_served(subscription, today)
        return require_active(await self._store(subscription, subscription.terms.keep(today), today))

    async def current(self, day: date | None = None) -> ActiveSubscription | None:
        """Return the subscription of the day, by default today, or None."""
        subscription = await self._subscriptions.get()
        return ActiveSubscription.of(subscription, day or clock.today()) if subscription else None

    async def required(self, day: date | None = None) -> ActiveSubscription:
        """Return the subscription of the day.

        Raises:
            SubscriptionRequiredError: The tenant has none, or it has ended.
        """
        return require_active(await self.current(day))

    async def _change(
        self, subscription: Subscription, plan_id: str, cycle: BillingCycle, today: date
    ) -> ActiveSubscription:
        current, terms = subscription.plan_on(today), subscription.terms
        if terms.overdue(today):
            raise PaymentOverdueError("The last billing window was not paid; pay it first.")
        kept = current.id == plan_id and terms.status(today) is not SubscriptionStatus.EXPIRED
        plan = current if kept else await self.plan(plan_id)
        changed = terms.subscribe(plan.id, cycle, today, downgrade=plan.is_less_than(current, cycle))
        return require_active(await self._store(subscription, changed, today))

    async def _locked(self) -> Subscription:
        subscription = await self._subscriptions.lock()
        if subscription is None:
            raise SubscriptionRequiredError(NO_SUBSCRIPTION)
        return subscription

    async def _store(self, subscription: Subscription, terms: Terms, today: date) -> ActiveSubscription | None:
        """Store the terms. It locks the subscription's row before the tenant's, as all code does."""
        before = subscription.terms
        stored = await self._subscriptions.store(subscription, terms)
        self._record_change(stored.id, before, terms)
        await self._tenants.set_plan(self._tenant_id, plan_id=terms.plan_id, billing_cycle=terms.cycle)
        return ActiveSubscription.of(stored, today)

    def _record_change(self, subscription_id: UUID, before: Terms | None, after: Terms) -> None:
        if before != after:
            told = {"before": _told(before) if before else None, "after": _told(after)}
            self._audit.record(self._tenant_id, Action.SUBSCRIPTION_CHANGED, subscription_id, **told)


def _told(terms: Terms) -> dict[str, Any]:
    pending = terms.pending
    return {
        "plan_id": terms.plan_id,
        "billing_cycle": terms.cycle,
        "ends_on": terms.ends_on.isoformat() if terms.ends_on else None,
        "scheduled": {"plan_id": pending.plan_id, "billing_cycle": pending.cycle} if pending else None,
    }


def _require_served(subscription: Subscription, day: date) -> None:
    if subscription.terms.status(day) is SubscriptionStatus.EXPIRED:
        raise SubscriptionRequiredError(NO_SUBSCRIPTION)


def require_active(active: ActiveSubscription | None) -> ActiveSubscription:
    """Return the subscription.

    Raises:
        SubscriptionRequiredError: There is none, or it has ended.
    """
    if active is None:
        raise SubscriptionRequiredError(NO_SUBSCRIPTION)
    return active
