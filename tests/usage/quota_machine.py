"""A state machine for quotas: any order of reservations, expiry, projects, changed caps and days, with its own sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from fastapi_ignite.billing.models import BillingCycle
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.onboarding.service import OnboardingService
from fastapi_ignite.usage.errors import QuotaExceededError
from fastapi_ignite.usage.models import PROJECTS_PERIOD_START, Metric
from fastapi_ignite.usage.repository import release_expired
from fastapi_ignite.usage.service import UsageService
from support.fixed_days import Calendar, calendar_at, window_by_walking
from support.state_machines import MachineRunner, put_plan
from support.usage_records import Books, books_of

FLOWS = (Metric.MESSAGES, Metric.CHARACTERS)
Window = tuple[Metric, date]
Step = Callable[[UsageService], Coroutine[None, None, object]]


@dataclass
class Hold:
    """A reservation as the machine's own model keeps it."""

    window: Window
    day: date
    amount: int
    expires_on: date | None
    state: str = "held"


class QuotaMachine(RuleBasedStateMachine):
    """Compares the recorded usage with its own sums after each step; set `runner` before it runs."""

    runner: ClassVar[MachineRunner]
    reservations = Bundle("reservations")

    @initialize(start=st.dates(date(2024, 1, 1), date(2034, 1, 1)))
    def begin(self, start: date) -> None:
        self.plan_id = f"machine-{new_id().hex[-12:]}"
        self._calendar_context = calendar_at(start)
        self.calendar: Calendar = self._calendar_context.__enter__()
        self.anchor = start
        self.holds: dict[UUID, Hold] = {}
        self.used: Counter[Window] = Counter()
        self.days: Counter[tuple[Metric, date]] = Counter()
        self.change_caps(projects=3, messages=10, characters=25)

        created = self.runner.run(
            OnboardingService(self.runner.database).create(
                name="Machine", plan_id=self.plan_id, cycle=BillingCycle.ANNUAL
            )
        )
        self.tenant_id: UUID = created.tenant_id

    def teardown(self) -> None:
        """At the end, exactly the rest of each cap must still be available."""
        if not hasattr(self, "_calendar_context"):
            return
        for reservation_id in self.holds:
            self.release(reservation_id)
        for metric in FLOWS:
            left = max(0, self.caps[metric] - self.used[self.window(metric)])
            assert self.reserve_units(metric, left + 1, None) is None
            last = self.reserve_units(metric, left, None) if left else None
            if last:
                self.settle(last)
            self.matches_the_model()
        self._calendar_context.__exit__(None, None, None)

    @rule(projects=st.integers(0, 5), messages=st.integers(0, 40), characters=st.integers(0, 40))
    def change_caps(self, projects: int, messages: int, characters: int) -> None:
        self.caps = {Metric.PROJECTS: projects, Metric.MESSAGES: messages, Metric.CHARACTERS: characters}
        self.runner.run(put_plan(self.runner.database, self.plan_id, caps=(projects, messages, characters), price=0))

    @rule(
        target=reservations,
        metric=st.sampled_from(FLOWS),
        amount=st.integers(0, 12),
        lifetime=st.sampled_from([None, 1]),
    )
    def reserve(self, metric: Metric, amount: int, lifetime: int | None) -> object:
        reservation_id = self.reserve_units(metric, amount, lifetime)
        return multiple() if reservation_id is None else reservation_id

    @rule(reservation_id=reservations)
    def settle(self, reservation_id: UUID) -> None:
        settled = self.in_transaction(lambda usage: usage.settle(reservation_id))
        hold = self.holds[reservation_id]
        assert settled is (hold.state == "held")
        if hold.state == "held":
            hold.state = "settled"
            self.used[hold.window] += hold.amount
            self.days[hold.window[0], hold.day] += hold.amount

    @rule(reservation_id=reservations)
    def release(self, reservation_id: UUID) -> None:
        self.in_transaction(lambda usage: usage.release(reservation_id))
        hold = self.holds[reservation_id]
        if hold.state == "held":
            hold.state = "released"

    @rule()
    def run_sweeper(self) -> None:
        async def sweep() -> None:
            async with self.runner.database.system() as session:
                await release_expired(session, now=clock.now())

        self.runner.run(sweep())
        for hold in self.holds.values():
            if hold.state == "held" and hold.expires_on and hold.expires_on <= self.calendar.today:
                hold.state = "released"

    @rule()
    def take_project(self) -> None:
        fits = self.used[self.window(Metric.PROJECTS)] + 1 <= self.caps[Metric.PROJECTS]
        assert self.granted(lambda usage: usage.take_project()) is fits
        self.count_project(int(fits))

    @precondition(lambda self: self.used[Metric.PROJECTS, PROJECTS_PERIOD_START] > 0)
    @rule()
    def give_back_project(self) -> None:
        self.in_transaction(lambda usage: usage.give_back_project())
        self.count_project(-1)

    @rule(days=st.integers(1, 40))
    def pass_days(self, days: int) -> None:
        self.calendar.pass_days(days)

    @invariant()
    def matches_the_model(self) -> None:
        expected: Books = self.runner.run(books_of(self.runner.database, self.tenant_id))
        used = +self.used
        held: Counter[Window] = Counter()
        for hold in self.holds.values():
            if hold.state == "held":
                held[hold.window] += hold.amount
        assert +expected.used == used
        assert +expected.reserved == +held
        assert +expected.ledger_by_window == used
        without_zero = {day: amount for day, amount in self.days.items() if amount}
        assert {day: amount for day, amount in expected.days.items() if amount} == without_zero
        assert {day: amount for day, amount in expected.ledger_by_day.items() if amount} == without_zero

    def window(self, metric: Metric) -> Window:
        if metric is Metric.PROJECTS:
            return metric, PROJECTS_PERIOD_START
        return metric, window_by_walking(self.anchor, self.calendar.today, annual=False)[0]

    def reserve_units(self, metric: Metric, amount: int, lifetime: int | None) -> UUID | None:
        window, today = self.window(metric), self.calendar.today
        held = sum(hold.amount for hold in self.holds.values() if hold.state == "held" and hold.window == window)
        fits = self.used[window] + held + amount <= self.caps[metric] or not amount
        reserved: list[UUID] = []

        async def reserve(usage: UsageService) -> None:
            days = timedelta(days=lifetime) if lifetime else None
            reserved.append(await usage.reserve(metric, amount, lifetime=days))

        assert self.granted(reserve) is fits
        if not fits:
            return None
        self.holds[reserved[0]] = Hold(window, today, amount, today + timedelta(days=lifetime) if lifetime else None)
        return reserved[0]

    def count_project(self, number: int) -> None:
        self.used[self.window(Metric.PROJECTS)] += number
        self.days[Metric.PROJECTS, self.calendar.today] += number

    def granted(self, step: Step) -> bool:
        try:
            self.in_transaction(step)
        except QuotaExceededError:
            return False
        return True

    def in_transaction(self, step: Step) -> object:
        async def run() -> object:
            async with self.runner.database.tenant(self.tenant_id) as session:
                return await step(UsageService(session, self.tenant_id))

        return self.runner.run(run())
