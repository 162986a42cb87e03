"""Tests of downgrades and cancellations, and of the days on which a tenant sees their effect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from fastapi_ignite.billing.models import BillingCycle, Subscription
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.provider import Account, PaymentStatus
from fastapi_ignite.billing.provider_sync import ProviderSync
from fastapi_ignite.billing.repository import SubscriptionRepo
from fastapi_ignite.billing.scheduled_changes import ScheduledChanges
from fastapi_ignite.billing.schemas import PlanChange
from fastapi_ignite.billing.service import BillingService
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from support.fixed_days import ONE_DAY, Calendar, calendar_at
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import rows_of, waits_for_a_lock

START = date(2031, 1, 31)
END_OF_WINDOW = date(2031, 2, 28)


@pytest.fixture
def calendar() -> Iterator[Calendar]:
    with calendar_at(START) as moved:
        yield moved


@pytest.fixture
async def pro(calendar: Calendar, make_tenant: TenantFactory) -> TenantClient:
    """Make a tenant that has the larger plan since the 31st."""
    del calendar
    return await make_tenant("pro")


async def read(tenant: TenantClient) -> dict[str, Any]:
    answer = await tenant.get("/billing/subscription")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def cached_plan(database: Database, tenant: TenantClient) -> tuple[str, str]:
    (row,) = await rows_of(database, tenant.id, "SELECT plan_id, billing_cycle FROM tenants")
    return row["plan_id"], row["billing_cycle"]


class TestDowngrade:
    async def test_it_waits_for_the_end_of_the_billing_window(
        self, pro: TenantClient, calendar: Calendar, database: Database
    ) -> None:
        answer = (await pro.post("/billing/subscribe?plan_id=hobby")).json()
        assert (answer["status"], answer["effective_on"]) == ("scheduled", "2031-02-28")
        assert (answer["plan_id"], answer["limits"]["max_projects"]) == ("pro", 10)
        assert answer["scheduled"] == {
            "plan_id": "hobby",
            "plan_name": "Hobby",
            "billing_cycle": "monthly",
            "effective_on": "2031-02-28",
        }
        calendar.today = END_OF_WINDOW - timedelta(days=1)
        assert (await read(pro))["plan_id"] == "pro"
        calendar.today = END_OF_WINDOW
        after = await read(pro)
        assert (after["plan_id"], after["limits"]["max_projects"], after["scheduled"]) == ("hobby", 3, None)
        assert (await pro.get("/limits/current")).json()["plan_id"] == "hobby"
        assert await cached_plan(database, pro) == ("pro", "monthly")

    async def test_the_scheduler_changes_nothing_but_the_rows(
        self, pro: TenantClient, calendar: Calendar, database: Database
    ) -> None:
        await pro.post("/billing/subscribe?plan_id=hobby&cycle=annual")
        calendar.today = date(2031, 4, 7)
        before = await read(pro)
        assert (before["plan_id"], before["period_start"], before["period_end"]) == (
            "hobby",
            "2031-02-28",
            "2032-02-27",
        )
        await asyncio.gather(*(ScheduledChanges(database, batch=1).run() for _ in range(3)))
        assert await read(pro) == before
        assert await cached_plan(database, pro) == ("hobby", "annual")

    @pytest.mark.parametrize("request_", ["/billing/resume", "/billing/subscribe?plan_id=pro"])
    async def test_it_can_be_withdrawn(self, pro: TenantClient, calendar: Calendar, request_: str) -> None:
        before = await read(pro)
        await pro.post("/billing/subscribe?plan_id=hobby")
        assert (await pro.post(request_)).status_code == 200
        assert await read(pro) == before
        calendar.today = END_OF_WINDOW
        assert (await read(pro))["plan_id"] == "pro"

    async def test_what_is_over_the_new_cap_stays_readable(self, pro: TenantClient, calendar: Calendar) -> None:
        projects = [await pro.create_project(f"Docs {number}") for number in range(5)]
        await pro.post("/billing/subscribe?plan_id=hobby")
        calendar.today = END_OF_WINDOW
        for project in projects:
            assert (await pro.get(f"/ingestion/projects/{project}/files")).status_code == 200
            assert (await pro.ask(project, "Anything?")).status_code == 200
        refused = await pro.post("/ingestion/projects/create?name=More")
        assert (refused.status_code, refused.json()["cap"], refused.json()["used"]) == (402, 3, 5)

    async def test_an_upgrade_acts_at_once_and_withdraws_it(
        self, calendar: Calendar, make_tenant: TenantFactory
    ) -> None:
        del calendar
        tenant = await make_tenant("pro", "annual")
        await tenant.post("/billing/subscribe?plan_id=hobby&cycle=annual")
        answer = (await tenant.post("/billing/subscribe?plan_id=pro&cycle=monthly")).json()
        assert (answer["status"], answer["effective_on"], answer["scheduled"]) == ("ok", "2031-01-31", None)
        assert (answer["billing_cycle"], answer["period_start"]) == ("monthly", "2031-01-31")


class TestEnd:
    async def test_a_canceled_subscription_is_served_to_the_end_of_its_window(
        self, pro: TenantClient, calendar: Calendar
    ) -> None:
        project = await pro.create_project()
        for _ in range(2):
            answer = (await pro.post("/billing/cancel")).json()
            assert (answer["status"], answer["ends_on"]) == ("canceling", "2031-02-28")
        calendar.today = END_OF_WINDOW - timedelta(days=1)
        assert (await pro.ask(project, "Anything?")).status_code == 200
        calendar.today = END_OF_WINDOW
        assert await read(pro) == {"subscribed": False}
        assert (await pro.get("/limits/current")).json() == {"subscribed": False}
        for refused in (
            await pro.ask(project, "Anything?"),
            await pro.post("/billing/resume"),
            await pro.post("/ingestion/projects/create?name=Docs"),  # the tenant has a project of this name
        ):
            assert (refused.status_code, refused.json()["code"]) == (402, "subscription_required")
        assert (await pro.get(f"/ingestion/projects/{project}/files")).status_code == 200

    async def test_it_can_be_resumed_until_then(self, pro: TenantClient, calendar: Calendar) -> None:
        before = await read(pro)
        await pro.post("/billing/cancel")
        calendar.today = END_OF_WINDOW - timedelta(days=1)
        assert (await pro.post("/billing/resume")).json() == before
        calendar.today = END_OF_WINDOW
        assert (await read(pro))["status"] == "active"

    @pytest.mark.parametrize("looks", range(5))
    async def test_a_cancellation_at_midnight_is_of_one_of_the_two_days(
        self, pro: TenantClient, calendar: Calendar, database: Database, monkeypatch: pytest.MonkeyPatch, looks: int
    ) -> None:
        """The billing window ends when the cancellation has read the clock `looks` times."""
        left = [END_OF_WINDOW - ONE_DAY] * looks

        def now() -> datetime:
            calendar.today = left.pop() if left else END_OF_WINDOW
            return calendar.now()

        with monkeypatch.context() as moved:
            moved.setattr(clock, "now", now)
            async with database.tenant(pro.id) as session:
                canceled = await BillingService(session, pro.id).cancel()
        assert canceled
        ends_on = canceled.billing.end + ONE_DAY
        assert (canceled.status, canceled.terms.ends_on) == ("canceling", ends_on)
        calendar.today = END_OF_WINDOW
        assert (await read(pro))["subscribed"] is (ends_on > END_OF_WINDOW)

    async def test_canceling_withdraws_a_downgrade(self, pro: TenantClient) -> None:
        await pro.post("/billing/subscribe?plan_id=hobby")
        answer = (await pro.post("/billing/cancel")).json()
        assert (answer["scheduled"], answer["status"]) == (None, "canceling")

    async def test_subscribing_again_begins_a_new_window(self, pro: TenantClient, calendar: Calendar) -> None:
        await pro.post("/billing/cancel")
        calendar.today = date(2031, 5, 5)
        answer = (await pro.post("/billing/subscribe?plan_id=hobby")).json()
        assert (answer["status"], answer["plan_id"]) == ("ok", "hobby")
        assert (answer["period_start"], answer["quota_period_start"]) == ("2031-05-05", "2031-05-05")


class FakePaymentProvider:
    """Simulates a payment provider that records the calls about one tenant."""

    name = "fake"
    collects = True

    def __init__(self, tenant: TenantClient) -> None:
        self.status = PaymentStatus.PAID
        self.calls: list[Account] = []
        self.unavailable = False
        self.during_call: Callable[[], Awaitable[object]] | None = None
        self._tenant = tenant

    async def sync(self, account: Account) -> PaymentStatus:
        if account.tenant_id != self._tenant.id:
            return PaymentStatus.PAID
        if self.unavailable:
            raise ConnectionError
        self.calls.append(account)
        if self.during_call:
            during_call, self.during_call = self.during_call, None
            await during_call()
        return self.status


class TestProvider:
    @pytest.fixture(autouse=True)
    async def _others_are_synced(self, database: Database) -> None:
        """Mark the tenants of other tests as synced, because a run calls the provider for each tenant that is due."""
        async with database.system() as session:
            await session.execute(text("UPDATE subscriptions SET synced_at = '2040-01-01'"))

    @pytest.fixture
    def payments(self, pro: TenantClient) -> FakePaymentProvider:
        return FakePaymentProvider(pro)

    @pytest.fixture
    def sync(self, payments: FakePaymentProvider, database: Database) -> ProviderSync:
        return ProviderSync(database, payments, grace_days=7, batch=2)

    async def test_it_is_told_of_every_change_once(self, make_tenant: TenantFactory, database: Database) -> None:
        """The test runs on today's date, because the database writes the time of each change."""
        tenant = await make_tenant("pro")
        payments = FakePaymentProvider(tenant)
        sync = ProviderSync(database, payments, grace_days=7)
        for _ in range(2):
            await sync.run()
        await tenant.post("/billing/subscribe?plan_id=pro&cycle=annual")
        for _ in range(2):
            await sync.run()
        ends_on = date.fromisoformat((await tenant.post("/billing/cancel")).json()["ends_on"])
        await sync.run()
        assert [(account.cycle, account.ends_on) for account in payments.calls] == [
            ("monthly", None),
            ("annual", None),
            ("annual", ends_on),
        ]
        assert payments.calls[1].window.resets_on == ends_on

    async def test_what_could_not_be_told_is_told_later(
        self, payments: FakePaymentProvider, sync: ProviderSync
    ) -> None:
        payments.unavailable = True
        await sync.run()
        payments.unavailable = False
        await sync.run()
        assert len(payments.calls) == 1

    async def test_an_unpaid_tenant_is_served_for_the_grace_and_again_once_it_paid(
        self, pro: TenantClient, payments: FakePaymentProvider, sync: ProviderSync, calendar: Calendar
    ) -> None:
        project = await pro.create_project()
        calendar.today = date(2031, 3, 1)
        payments.status = PaymentStatus.UNPAID
        await sync.run()
        unpaid = await read(pro)
        assert (unpaid["status"], unpaid["past_due_since"], unpaid["grace_ends_on"]) == (
            "past_due",
            "2031-02-28",
            "2031-03-08",
        )
        assert (await pro.ask(project, "Anything?")).status_code == 200
        calendar.today = date(2031, 3, 7)
        assert (await pro.ask(project, "Anything?")).status_code == 200
        calendar.today = date(2031, 3, 8)
        assert (await pro.ask(project, "Anything?")).json()["code"] == "subscription_required"
        assert (await pro.post("/billing/subscribe?plan_id=pro")).json()["code"] == "payment_overdue"
        payments.status = PaymentStatus.PAID
        calendar.today = date(2031, 3, 9)  # the provider is asked once a day
        await sync.run()
        paid = await read(pro)
        assert (paid["status"], paid["past_due_since"]) == ("active", None)

    async def test_the_grace_of_a_window_that_proves_unpaid_late_is_not_shorter(
        self, pro: TenantClient, payments: FakePaymentProvider, sync: ProviderSync, calendar: Calendar
    ) -> None:
        await sync.run()
        calendar.today = END_OF_WINDOW - timedelta(days=2)
        payments.status = PaymentStatus.UNPAID
        await sync.run()
        unpaid = await read(pro)
        assert (unpaid["status"], unpaid["past_due_since"], unpaid["grace_ends_on"]) == (
            "past_due",
            "2031-01-31",
            "2031-03-05",
        )
        calendar.pass_days(3)
        await sync.run()
        assert (await read(pro))["grace_ends_on"] == "2031-03-05"

    async def test_a_subscription_that_ended_unpaid_is_shown_as_ended(
        self, pro: TenantClient, payments: FakePaymentProvider, sync: ProviderSync, calendar: Calendar
    ) -> None:
        payments.status = PaymentStatus.UNPAID
        for _ in range(3):
            await sync.run()
            calendar.pass_days(31)
        assert [(account.window.start, account.ends_on) for account in payments.calls] == [
            (START, None),
            (START, date(2031, 2, 7)),
            (START, date(2031, 2, 7)),
        ]
        payments.status = PaymentStatus.PAID
        await sync.run()
        assert (await read(pro))["status"] == "active"

    async def test_one_that_ended_unpaid_and_was_canceled_does_not_go_on_once_it_is_paid(
        self, pro: TenantClient, payments: FakePaymentProvider, sync: ProviderSync, calendar: Calendar
    ) -> None:
        await pro.post("/billing/subscribe?plan_id=hobby")
        payments.status = PaymentStatus.UNPAID
        await sync.run()
        calendar.today = date(2031, 2, 10)
        for _ in range(2):
            answer = await pro.post("/billing/cancel")
            assert (answer.status_code, answer.json()) == (200, {"subscribed": False})
        assert (await pro.post("/billing/resume")).json()["code"] == "subscription_required"
        payments.status = PaymentStatus.PAID
        await sync.run()
        assert payments.calls[-1].ends_on == date(2031, 2, 7)
        assert await read(pro) == {"subscribed": False}
        assert (await pro.post("/billing/cancel")).json()["code"] == "subscription_required"
        assert (await pro.post("/billing/subscribe?plan_id=pro")).json()["period_start"] == "2031-02-10"

    async def test_who_canceled_while_unpaid_may_subscribe_again_once_it_paid(
        self, make_tenant: TenantFactory, database: Database
    ) -> None:
        """The test runs around today's date, because the database writes the time of the last call of the provider."""
        present = datetime.now(UTC).date()
        with calendar_at(present - timedelta(days=60)) as calendar:
            tenant = await make_tenant("pro")
            payments = FakePaymentProvider(tenant)
            sync = ProviderSync(database, payments, grace_days=7)
            payments.status = PaymentStatus.UNPAID
            await sync.run()
            assert (await tenant.post("/billing/cancel")).status_code == 200
            calendar.today = present
            await sync.run()
            assert (await tenant.post("/billing/subscribe?plan_id=pro")).json()["code"] == "payment_overdue"
            payments.status = PaymentStatus.PAID
            calendar.pass_days(1)
            await sync.run()
            assert (await tenant.post("/billing/subscribe?plan_id=pro")).status_code == 200

    async def test_a_change_during_the_call_is_told_in_the_next_run(
        self, pro: TenantClient, payments: FakePaymentProvider, sync: ProviderSync
    ) -> None:
        async def cancel() -> None:
            await pro.post("/billing/cancel")

        payments.status = PaymentStatus.UNPAID
        payments.during_call = cancel
        await sync.run()
        assert (await read(pro))["ends_on"] == "2031-02-28"
        await sync.run()
        assert [account.ends_on for account in payments.calls] == [None, date(2031, 2, 28)]

    @pytest.mark.parametrize("written", ["before the call", "after the call"])
    async def test_a_change_whose_transaction_began_before_the_call_is_told_in_the_next_run(
        self, make_tenant: TenantFactory, database: Database, written: str
    ) -> None:
        """The provider is called before the change is committed.

        The test runs on today's date, because the database writes the time of each change.
        """
        tenant = await make_tenant("pro")
        payments = FakePaymentProvider(tenant)
        sync = ProviderSync(database, payments, grace_days=7)
        await sync.run()
        async with AsyncExitStack() as change:
            session = await change.enter_async_context(database.tenant(tenant.id))
            await session.execute(text("SELECT now()"))
            await tenant.post("/billing/subscribe?plan_id=pro&cycle=annual")  # so that the next run calls the provider
            if written == "after the call":
                await sync.run()
            await BillingService(session, tenant.id).cancel()
            if written == "before the call":
                payments.during_call = change.aclose
                await sync.run()
        await sync.run()
        assert [account.ends_on is None for account in payments.calls] == [True, True, False]
        await sync.run()
        assert len(payments.calls) == 3


class TestPlans:
    @pytest.fixture
    async def plan_id(self, database: Database) -> str:
        plan_id = f"plan-{new_id().hex[-12:]}"
        async with database.system() as session:
            change = PlanChange(
                max_projects=1, monthly_message_cap=1, monthly_upload_char_cap=1, monthly_price=900, currency="EUR"
            )
            await PlanService(session).put(plan_id, change)
        return plan_id

    async def listed(self, client: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
        """Return every plan by its id."""
        found: dict[str, dict[str, Any]] = {}
        while page := (await client.get("/plans", params={"limit": 5, "skip": len(found)})).json()["plans"]:
            found |= {plan["id"]: plan for plan in page}
        return found

    async def test_anybody_can_list_them(self, client: httpx2.AsyncClient, plan_id: str) -> None:
        plans = await self.listed(client)
        assert plans["hobby"]["limits"] == {
            "max_projects": 3,
            "monthly_message_cap": 2000,
            "monthly_upload_char_cap": 500000,
        }
        assert (plans[plan_id]["monthly_price"], plans[plan_id]["currency"]) == (900, "EUR")
        assert list(plans) == sorted(plans)

    async def test_one_that_is_not_active_is_kept_but_not_taken(
        self, client: httpx2.AsyncClient, make_tenant: TenantFactory, database: Database, plan_id: str
    ) -> None:
        keeper, other = await make_tenant(plan_id), await make_tenant()
        async with database.system() as session:
            await PlanService(session).deactivate(plan_id)
        assert plan_id not in await self.listed(client)
        assert (await other.post(f"/billing/subscribe?plan_id={plan_id}")).json()["code"] == "plan_not_found"
        refused = await client.post("/tenants/create", params={"name": "Acme", "plan_id": plan_id})
        assert refused.json()["code"] == "plan_not_found"
        kept = await keeper.post(f"/billing/subscribe?plan_id={plan_id}&cycle=annual")
        assert (kept.status_code, kept.json()["plan_id"]) == (200, plan_id)

    async def test_the_cheaper_one_is_the_lesser_whatever_its_caps(
        self, make_tenant: TenantFactory, database: Database, plan_id: str
    ) -> None:
        cheap = f"{plan_id}-cheap"
        async with database.system() as session:
            generous = PlanChange(
                max_projects=9, monthly_message_cap=9, monthly_upload_char_cap=9, monthly_price=100, currency="EUR"
            )
            await PlanService(session).put(cheap, generous)
        tenant = await make_tenant(plan_id)
        assert (await tenant.post(f"/billing/subscribe?plan_id={cheap}")).json()["status"] == "scheduled"

    async def test_prices_of_the_cycle_asked_for_are_compared(
        self, make_tenant: TenantFactory, database: Database, plan_id: str
    ) -> None:
        """A plan that is cheaper by the month can be more expensive by the year."""
        other = f"{plan_id}-other"
        async with database.system() as session:
            plans = PlanService(session)
            await plans.put(plan_id, PlanChange(annual_price=9000))
            change = PlanChange(
                max_projects=1,
                monthly_message_cap=1,
                monthly_upload_char_cap=1,
                monthly_price=800,
                annual_price=9500,
                currency="EUR",
            )
            await plans.put(other, change)
        tenant = await make_tenant(plan_id)
        monthly = await tenant.post(f"/billing/subscribe?plan_id={other}&cycle=monthly")
        annual = await tenant.post(f"/billing/subscribe?plan_id={other}&cycle=annual")
        assert (monthly.json()["status"], annual.json()["status"]) == ("scheduled", "ok")

    @pytest.mark.parametrize("cycle", ["monthly", "annual"])
    @pytest.mark.parametrize(("caps", "status"), [(9, "ok"), (0, "scheduled")])
    async def test_caps_are_compared_where_a_plan_has_no_price(
        self, make_tenant: TenantFactory, database: Database, plan_id: str, caps: int, status: str, cycle: str
    ) -> None:
        """One plan is sold only by the month, the other one only by the year."""
        annual = f"{plan_id}-annual"
        async with database.system() as session:
            change = PlanChange(
                max_projects=caps,
                monthly_message_cap=caps,
                monthly_upload_char_cap=caps,
                annual_price=100_000,
                currency="EUR",
            )
            await PlanService(session).put(annual, change)
        tenant = await make_tenant(plan_id)
        answer = await tenant.post(f"/billing/subscribe?plan_id={annual}&cycle={cycle}")
        assert answer.json()["status"] == status


class TestRequestDuringAnotherChange:
    """These tests check that a request waits for the change before it, and uses the result of that change."""

    WAITING = "SELECT subscriptions%"

    @pytest.mark.parametrize("request_", ["/billing/cancel", "/billing/resume"])
    async def test_a_change_of_plan(
        self, make_tenant: TenantFactory, database: Database, addresses: ServiceAddresses, request_: str
    ) -> None:
        tenant = await make_tenant("hobby")
        async with database.tenant(tenant.id) as session:
            await BillingService(session, tenant.id).subscribe(plan_id="pro", cycle=BillingCycle.ANNUAL)
            coming = asyncio.create_task(tenant.post(request_))
            await waits_for_a_lock(addresses, self.WAITING)
        answer = await coming
        assert (answer.status_code, answer.json()["plan_id"], answer.json()["billing_cycle"]) == (200, "pro", "annual")

    async def test_the_day_of_a_downgrade(
        self, pro: TenantClient, calendar: Calendar, database: Database, addresses: ServiceAddresses
    ) -> None:
        await pro.post("/billing/subscribe?plan_id=hobby")
        calendar.today = END_OF_WINDOW
        async with database.tenant(pro.id) as session:
            subscription = await SubscriptionRepo(session, pro.id).lock()
            assert subscription
            subscription.terms = subscription.terms.on(calendar.today)  # the scheduler stores it in this way
            await session.flush()
            coming = asyncio.create_task(pro.post("/billing/cancel"))
            await waits_for_a_lock(addresses, self.WAITING)
        answer = await coming
        assert (answer.status_code, answer.json()["plan_id"]) == (200, "hobby")
        assert answer.json()["ends_on"] == "2031-03-31"


async def test_subscriptions_of_one_tenant_take_turns(pro: TenantClient, database: Database) -> None:
    """Whichever request is the last, plan and cycle come from one request, and the row of the tenant repeats them."""
    requests = [f"/billing/subscribe?plan_id=pro&cycle={cycle}" for cycle in ("annual", "monthly")] * 5
    answers = await asyncio.gather(*(pro.post(request) for request in [*requests, "/billing/cancel"]))
    assert {answer.status_code for answer in answers} == {200}
    async with database.tenant(pro.id) as session:
        subscription: Subscription | None = await SubscriptionRepo(session, pro.id).get()
    assert subscription
    assert await cached_plan(database, pro) == (subscription.plan_id, subscription.billing_cycle)
