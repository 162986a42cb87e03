"""A subscription that is served, with what it means on a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from fastapi_ignite.billing.periods import Window
from fastapi_ignite.billing.stored_subscription import StoredPlan, StoredSubscription
from fastapi_ignite.billing.terms import BillingCycle, SubscriptionStatus, Terms


@dataclass(frozen=True, slots=True)
class ScheduledPlan:
    """The plan that a subscription changes to on a later day."""

    plan_id: str
    plan_name: str
    billing_cycle: BillingCycle
    effective_on: date


@dataclass(frozen=True, slots=True)
class ActiveSubscription:
    """A subscription that is served on `day`, with the plan and the windows of that day."""

    day: date
    plan: StoredPlan
    terms: Terms
    status: SubscriptionStatus
    billing: Window
    quota: Window
    scheduled: ScheduledPlan | None

    @classmethod
    def of(cls, subscription: StoredSubscription, day: date) -> ActiveSubscription | None:
        """Return what the subscription is on the day, or None when it has ended."""
        terms = subscription.terms.on(day)
        status = terms.status(day)
        if status is SubscriptionStatus.EXPIRED:
            return None
        pending, plan = terms.pending, subscription.pending_plan
        scheduled = ScheduledPlan(plan.id, plan.name, pending.cycle, pending.effective_on) if pending and plan else None
        return cls(
            day=day,
            plan=subscription.plan_on(day),
            terms=terms,
            status=status,
            billing=terms.billing_window(day),
            quota=terms.quota_window(day),
            scheduled=scheduled,
        )

    @property
    def billing_cycle(self) -> BillingCycle:
        """The length of a billing window."""
        return self.terms.cycle
