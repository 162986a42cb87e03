"""The terms of a subscription, and what they mean on a day. Nothing here reads a clock or a database.

A scheduled change, an end and the end of a grace period act on their day by themselves. `Terms.on(day)` is the same
whether the change was written into the row on that day, a month later, or never.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from fastapi_ignite.billing.periods import Window, window_at


class BillingCycle(StrEnum):
    """The length of a billing window."""

    MONTHLY = "monthly"
    ANNUAL = "annual"

    @property
    def months(self) -> int:
        """The length of a billing window."""
        return 12 if self is BillingCycle.ANNUAL else 1


class SubscriptionStatus(StrEnum):
    """All but `expired` are served."""

    ACTIVE = "active"
    CANCELING = "canceling"
    PAST_DUE = "past_due"
    EXPIRED = "expired"


TERMS_COLUMNS = (
    "plan_id",
    "billing_cycle",
    "billing_anchor",
    "quota_anchor",
    "pending_plan_id",
    "pending_billing_cycle",
    "pending_on",
    "ends_on",
    "past_due_on",
    "grace_ends_on",
)


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change to a plan and a cycle on a later day."""

    plan_id: str
    cycle: BillingCycle
    effective_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a subscription. `ends_on` and `grace_ends_on` are the first days that are not served."""

    plan_id: str
    cycle: BillingCycle
    billing_anchor: date
    quota_anchor: date
    pending: PendingChange | None = None
    ends_on: date | None = None
    past_due_on: date | None = None
    grace_ends_on: date | None = None

    @classmethod
    def begin(cls, plan_id: str, cycle: BillingCycle, day: date) -> Terms:
        """Return the terms of a first subscription."""
        return cls(plan_id=plan_id, cycle=cycle, billing_anchor=day, quota_anchor=day)

    @classmethod
    def stored(
        cls,
        plan_id: str,
        billing_cycle: str,
        billing_anchor: date,
        quota_anchor: date,
        pending_plan_id: str | None,
        pending_billing_cycle: str | None,
        pending_on: date | None,
        ends_on: date | None,
        past_due_on: date | None,
        grace_ends_on: date | None,
    ) -> Terms:
        """Return the terms of a row of the table."""
        pending = None
        if pending_plan_id is not None and pending_billing_cycle is not None and pending_on is not None:
            pending = PendingChange(pending_plan_id, BillingCycle(pending_billing_cycle), pending_on)
        return cls(
            plan_id=plan_id,
            cycle=BillingCycle(billing_cycle),
            billing_anchor=billing_anchor,
            quota_anchor=quota_anchor,
            pending=pending,
            ends_on=ends_on,
            past_due_on=past_due_on,
            grace_ends_on=grace_ends_on,
        )

    def on(self, day: date) -> Terms:
        """Return the terms of the day: a scheduled change that is due has been made."""
        pending = self.pending
        if pending is None or not self.has_changed(day):
            return self
        anchor = self.billing_anchor if pending.cycle is self.cycle else pending.effective_on
        return replace(self, plan_id=pending.plan_id, cycle=pending.cycle, billing_anchor=anchor, pending=None)

    def has_changed(self, day: date) -> bool:
        """Tell whether a scheduled change is due on the day, also where the row still has the old terms."""
        return self.pending is not None and self.pending.effective_on <= day

    def status(self, day: date) -> SubscriptionStatus:
        """Return the status of the day."""
        ended_on = self.ended_on
        if ended_on is not None and ended_on <= day:
            return SubscriptionStatus.EXPIRED
        if self.past_due_on is not None and self.past_due_on <= day:
            return SubscriptionStatus.PAST_DUE
        return SubscriptionStatus.CANCELING if self.ends_on else SubscriptionStatus.ACTIVE

    def overdue(self, day: date) -> bool:
        """Tell whether the grace period is over. Then the tenant must pay before it can change anything."""
        return self.grace_ends_on is not None and self.grace_ends_on <= day

    @property
    def ended_on(self) -> date | None:
        """The first day that is not served, or None."""
        return min((day for day in (self.ends_on, self.grace_ends_on) if day is not None), default=None)

    def last_served(self, day: date) -> date:
        """Return the day, or the last served day if that is earlier."""
        return day if self.ended_on is None else min(day, self.ended_on - timedelta(days=1))

    def billing_window(self, day: date) -> Window:
        """Return the billing window that contains the day."""
        terms = self.on(day)
        return window_at(terms.billing_anchor, terms.cycle.months, day)

    def quota_window(self, day: date) -> Window:
        """Return the month that contains the day and that the caps count in."""
        return window_at(self.quota_anchor, 1, day)

    def subscribe(self, plan_id: str, cycle: BillingCycle, day: date, *, downgrade: bool) -> Terms:
        """Return the terms with another plan or cycle; a scheduled change is withdrawn.

        A downgrade waits for the end of the billing window. Everything else acts today: the quota month stays, so
        changing back and forth refills nothing, and another cycle begins a new billing window.
        """
        if self.status(day) is SubscriptionStatus.EXPIRED:
            return self._begin_again(plan_id, cycle, day)
        kept = self.keep(day)
        if downgrade:
            return replace(kept, pending=PendingChange(plan_id, cycle, kept.billing_window(day).resets_on))
        anchor = kept.billing_anchor if cycle is kept.cycle else day
        return replace(kept, plan_id=plan_id, cycle=cycle, billing_anchor=anchor)

    def cancel(self, day: date) -> Terms:
        """Return the terms that end with the billing window, or with the grace period if that is over.

        A scheduled change is withdrawn. A second call changes nothing.
        """
        if self.overdue(day):
            return replace(self.keep(day), ends_on=self.ended_on)
        if self.ends_on is not None:
            return self
        kept = self.keep(day)
        return replace(kept, ends_on=kept.billing_window(day).resets_on)

    def end(self, day: date) -> Terms:
        """Return the terms that are not served from this day on."""
        if self.status(day) is SubscriptionStatus.EXPIRED:
            return self
        return replace(self.keep(day), ends_on=day)

    def keep(self, day: date) -> Terms:
        """Return the terms without an end and without a scheduled change."""
        return replace(self.on(day), pending=None, ends_on=None)

    def unpaid(self, window: Window, day: date, grace_days: int) -> Terms:
        """Return the terms after the provider could not collect a window on `day`. The first failure counts."""
        if self.past_due_on is not None:
            return self
        return replace(self, past_due_on=window.start, grace_ends_on=day + timedelta(days=grace_days))

    def paid(self) -> Terms:
        """Return the terms after everything is paid."""
        return replace(self, past_due_on=None, grace_ends_on=None)

    def _begin_again(self, plan_id: str, cycle: BillingCycle, day: date) -> Terms:
        """Return new terms after the end. If the last served quota month is not over, it goes on with its usage."""
        same_month = self.quota_window(self.last_served(day)) == self.quota_window(day)
        return replace(
            Terms.begin(plan_id, cycle, day),
            quota_anchor=self.quota_anchor if same_month else day,
            past_due_on=self.past_due_on,
            grace_ends_on=self.grace_ends_on,
        )
