"""A Hypothesis state machine of subscriptions: plan changes, ends, payments and days come in any order.

The product computes the state of a subscription when somebody reads it, and stores it later or never. The model moves
one day at a time, and applies at each midnight what that day brings. It finds its windows by a walk from day to day,
not by arithmetic.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text

from fastapi_ignite.billing.active_subscription import ActiveSubscription
from fastapi_ignite.billing.errors import PaymentOverdueError, SubscriptionRequiredError
from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.billing.repository import SubscriptionRepo
from fastapi_ignite.billing.scheduled_changes import ScheduledChanges
from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.onboarding.service import OnboardingService
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService
from support.fixed_days import ONE_DAY, Calendar, calendar_at, window_by_walking
from support.state_machines import MachineRunner, put_plan

PLANS = ("machine-small", "machine-medium", "machine-large")  # from the least to the greatest
CAPS = {"machine-small": 5, "machine-medium": 12, "machine-large": 30}
GRACE_DAYS = 7
Cycles = st.sampled_from(BillingCycle)


async def make_plans(runner: MachineRunner) -> None:
    """Store the plans that the machine changes between."""
    for place, plan in enumerate(PLANS):
        await put_plan(runner.database, plan, caps=(1, CAPS[plan], 10), price=100 * (place + 1))


@dataclass
class Model:
    """Holds the expected subscription of a tenant on `today`, which moves one day at a time."""

    today: date
    plan: str
    cycle: BillingCycle
    billing_anchor: date
    quota_anchor: date
    change: tuple[str, BillingCycle, date] | None = None
    ends: date | None = None
    unpaid_since: date | None = None
    grace_end: date | None = None

    def next_day(self) -> None:
        self.today += ONE_DAY
        if self.change and self.change[2] == self.today:
            plan, cycle, _ = self.change
            if cycle != self.cycle:
                self.billing_anchor = self.today
            self.plan, self.cycle, self.change = plan, cycle, None

    @property
    def billing_window(self) -> tuple[date, date]:
        return window_by_walking(self.billing_anchor, self.today, annual=self.cycle is BillingCycle.ANNUAL)

    @property
    def quota_window(self) -> tuple[date, date]:
        return window_by_walking(self.quota_anchor, self.today, annual=False)

    @property
    def over_since(self) -> date | None:
        """Return the day on which the subscription ended, or None."""
        ends = [day for day in (self.ends, self.grace_end) if day and day <= self.today]
        return min(ends, default=None)

    def subscribe(self, plan: str, cycle: BillingCycle) -> type[IgniteError] | None:
        if self.grace_end and self.grace_end <= self.today:
            return PaymentOverdueError
        if over := self.over_since:
            used_up = window_by_walking(self.quota_anchor, over - ONE_DAY, annual=False)
            if not used_up[0] <= self.today <= used_up[1]:
                self.quota_anchor = self.today
            self.plan, self.cycle, self.billing_anchor, self.ends, self.change = plan, cycle, self.today, None, None
            return None
        self.change = self.ends = None
        if PLANS.index(plan) < PLANS.index(self.plan):
            self.change = (plan, cycle, self.billing_window[1] + ONE_DAY)
            return None
        if cycle != self.cycle:
            self.billing_anchor = self.today
        self.plan, self.cycle = plan, cycle
        return None


class SubscriptionMachine(RuleBasedStateMachine):
    """Compares the product with `Model` after each step. Set `runner` before the machine runs."""

    runner: ClassVar[MachineRunner]

    @initialize(start=st.dates(date(2024, 1, 1), date(2034, 1, 1)), plan=st.sampled_from(PLANS), cycle=Cycles)
    def begin(self, start: date, plan: str, cycle: BillingCycle) -> None:
        self._moved = calendar_at(start)
        self.calendar: Calendar = self._moved.__enter__()
        self.model = Model(start, plan, cycle, start, start)
        self.used: dict[date, int] = {}

        onboarding = OnboardingService(self.runner.database)
        created = self.runner.run(onboarding.create(name="Machine", plan_id=plan, cycle=cycle))
        self.tenant_id: UUID = created.tenant_id

    def teardown(self) -> None:
        if hasattr(self, "_moved"):
            self._moved.__exit__(None, None, None)

    @rule(days=st.one_of(st.integers(1, 12), st.integers(20, 40)))
    def pass_days(self, days: int) -> None:
        self.calendar.pass_days(days)
        for _ in range(days):
            self.model.next_day()

    @rule()
    def begin_next_billing_window(self) -> None:
        self.pass_days((self.model.billing_window[1] - self.model.today).days + 1)

    @rule(plan=st.sampled_from(PLANS), cycle=Cycles)
    def subscribe(self, plan: str, cycle: BillingCycle) -> None:
        self.expect(self.model.subscribe(plan, cycle), self.billing("subscribe", plan_id=plan, cycle=cycle))

    @rule()
    def cancel(self) -> None:
        model = self.model
        overdue = model.grace_end is not None and model.grace_end <= model.today
        self.expect(None if overdue else self.refusal(), self.billing("cancel"))
        if overdue:
            model.change, model.ends = None, model.over_since
        elif not model.over_since and not model.ends:
            model.change, model.ends = None, model.billing_window[1] + ONE_DAY

    @rule()
    def resume(self) -> None:
        self.expect(self.refusal(), self.billing("resume"))
        if not self.model.over_since:
            self.model.change = self.model.ends = None

    @rule()
    def run_scheduler(self) -> None:
        self.runner.run(ScheduledChanges(self.runner.database).run())
        assert self.runner.run(self.tenants_row()) == (self.model.plan, self.model.cycle)

    @rule(paid=st.booleans())
    def report_payment(self, paid: bool) -> None:  # noqa: FBT001  Hypothesis passes it by name
        async def record() -> None:
            async with self.runner.database.tenant(self.tenant_id) as session:
                repository = SubscriptionRepo(session, self.tenant_id)
                subscription = await repository.lock()
                assert subscription
                terms = subscription.terms
                today = self.calendar.today
                window = terms.billing_window(today)
                await repository.store(subscription, terms.paid() if paid else terms.unpaid(window, today, GRACE_DAYS))

        self.runner.run(record())
        model = self.model
        if paid:
            model.unpaid_since = model.grace_end = None
        elif model.unpaid_since is None:
            model.unpaid_since = model.billing_window[0]
            model.grace_end = model.today + timedelta(days=GRACE_DAYS)

    @rule(number=st.integers(1, 6))
    def use_messages(self, number: int) -> None:
        async def use() -> None:
            async with self.runner.database.tenant(self.tenant_id) as session:
                usage = UsageService(session, self.tenant_id)
                await usage.settle(await usage.reserve(Metric.MESSAGES, number, lifetime=None))

        fits = self.used_in_month() + number <= CAPS[self.model.plan]
        refusal = self.refusal() or (None if fits else QuotaExceededError)
        self.expect(refusal, use())
        if refusal is None:
            self.used[self.model.today] = self.used.get(self.model.today, 0) + number

    @invariant()
    def matches_the_model(self) -> None:
        model, found = self.model, self.runner.run(self.look())
        if model.over_since:
            assert found is None
            return
        assert found is not None
        active, messages = found
        assert (active.plan.id, active.billing_cycle) == (model.plan, model.cycle)
        assert (active.billing.start, active.billing.end) == model.billing_window
        assert (active.quota.start, active.quota.end) == model.quota_window
        pending = active.scheduled
        scheduled = (pending.plan_id, pending.billing_cycle, pending.effective_on) if pending else None
        assert (scheduled, active.terms.ends_on) == (model.change, model.ends)
        expected = "past_due" if model.unpaid_since else "canceling" if model.ends else "active"
        assert active.status == expected
        assert messages == self.used_in_month()

    def used_in_month(self) -> int:
        start, end = self.model.quota_window
        return sum(number for day, number in self.used.items() if start <= day <= end)

    def refusal(self) -> type[IgniteError] | None:
        return SubscriptionRequiredError if self.model.over_since else None

    async def billing(self, name: str, **values: object) -> None:
        async with self.runner.database.tenant(self.tenant_id) as session:
            await getattr(BillingService(session, self.tenant_id), name)(**values)

    async def look(self) -> tuple[ActiveSubscription, int] | None:
        async with self.runner.database.tenant(self.tenant_id) as session:
            overview = await UsageService(session, self.tenant_id).overview()
        return (overview[0], overview[1].messages_used) if overview else None

    async def tenants_row(self) -> tuple[str, str]:
        async with self.runner.database.tenant(self.tenant_id) as session:
            row = (await session.execute(text("SELECT plan_id, billing_cycle FROM tenants"))).one()
        return row.plan_id, row.billing_cycle

    def expect(self, refusal: type[IgniteError] | None, step: Coroutine[None, None, None]) -> None:
        """Run the step, and check that it raises this error, or none."""
        try:
            self.runner.run(step)
        except IgniteError as error:
            refused: type[IgniteError] | None = type(error)
        else:
            refused = None
        assert refused is refusal
