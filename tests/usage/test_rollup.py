"""The usage of a month must be the sum of its days."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import ProgrammingError

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, TaskContext, make_broker
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.repository import UsageRepo
from fastapi_ignite.usage.rollup import UsageRollUp
from fastapi_ignite.usage.tasks import roll_up_usage
from support.databases import new_database
from support.http_clients import TenantFactory
from support.tenant_records import eventually, rows_of
from support.usage_records import hold

FIRST_DAY = date(2025, 11, 20)
Months = Counter[tuple[UUID, str, date]]


async def use(database: Database, tenant_id: UUID, metric: Metric, day: date, amount: int) -> None:
    """Settle units that were reserved on this day."""
    async with database.tenant(tenant_id) as session:
        reservation = await hold(session, tenant_id, metric, amount, period_start=FIRST_DAY, day=day)
        await UsageRepo(session, tenant_id).settle([reservation])


class Activity:
    """Tenants that use units on random days, with the sums that the roll-up is expected to record."""

    def __init__(self, database: Database, tenants: list[UUID]) -> None:
        self.tenants = tenants
        self.expected: Months = Counter()
        self._database = database
        self._random = random.Random(20261124)

    async def use_at_random(self, times: int) -> None:
        for _ in range(times):
            tenant_id = self._random.choice(self.tenants)
            metric = self._random.choice([Metric.MESSAGES, Metric.CHARACTERS])
            day = FIRST_DAY + timedelta(days=self._random.randrange(100))
            amount = self._random.randrange(1, 5000)
            await use(self._database, tenant_id, metric, day, amount)
            self.expected[tenant_id, metric.value, day.replace(day=1)] += amount

    async def months(self) -> Months:
        return Counter(
            {
                (tenant_id, row["metric"], row["month"]): row["amount"]
                for tenant_id in self.tenants
                for row in await rows_of(self._database, tenant_id, "SELECT * FROM usage_monthly")
            }
        )


@pytest.fixture(scope="module")
def own_addresses(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Make a database without the usage of other tests, because a roll-up reads the days of all tenants."""
    with new_database(addresses, template="template_migrated") as made:
        yield made


@pytest.fixture
async def own_database(own_addresses: ServiceAddresses) -> AsyncGenerator[Database]:
    """Connect to that database with the worker's login."""
    database = Database(own_addresses.worker_url, pool_size=5)
    yield database
    await database.close()


@pytest.fixture
async def activity(own_database: Database) -> Activity:
    tenants = [new_id() for _ in range(3)]
    for tenant_id in tenants:
        await rows_of(
            own_database,
            tenant_id,
            "INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:id, 'Acme', 'hobby', 'monthly')",
            id=tenant_id,
        )
    return Activity(own_database, tenants)


async def test_months_are_the_sums_of_their_days(activity: Activity, own_database: Database) -> None:
    for _ in range(3):
        await activity.use_at_random(40)
        await asyncio.gather(*(UsageRollUp(own_database, batch=3).run() for _ in range(2)))
        assert await activity.months() == activity.expected
    await UsageRollUp(own_database).run()
    assert await activity.months() == activity.expected


async def test_what_happens_during_a_run_is_in_the_next(activity: Activity, own_database: Database) -> None:
    await activity.use_at_random(20)
    roll_up = UsageRollUp(own_database, batch=1)
    await asyncio.gather(activity.use_at_random(30), *(roll_up.run() for _ in range(3)))
    await roll_up.run()
    assert await activity.months() == activity.expected


async def test_a_run_looks_at_what_changed_since_the_last(activity: Activity, own_database: Database) -> None:
    """A changed row with an old `updated_at` counts as already rolled up."""
    await activity.use_at_random(10)
    await UsageRollUp(own_database).run()
    tenant_id = activity.tenants[0]
    await rows_of(
        own_database, tenant_id, "UPDATE usage_daily SET amount = amount + 1, updated_at = now() - interval '1 day'"
    )
    await UsageRollUp(own_database).run()
    assert await activity.months() == activity.expected
    await rows_of(own_database, tenant_id, "UPDATE usage_daily SET updated_at = now()")
    await UsageRollUp(own_database).run()
    assert await activity.months() != activity.expected


async def test_a_day_of_long_ago_that_grows_is_summed_up_again(activity: Activity, own_database: Database) -> None:
    """A file may wait for days between its reservation and its end."""
    await activity.use_at_random(60)
    await UsageRollUp(own_database).run()
    for tenant_id in activity.tenants:
        await rows_of(own_database, tenant_id, "UPDATE usage_daily SET updated_at = now() - interval '30 days'")
    (row, *_) = await rows_of(own_database, activity.tenants[0], "SELECT metric, day FROM usage_daily ORDER BY day")
    await use(own_database, activity.tenants[0], Metric(row["metric"]), row["day"], 77)
    activity.expected[activity.tenants[0], row["metric"], row["day"].replace(day=1)] += 77
    await UsageRollUp(own_database).run()
    assert await activity.months() == activity.expected


async def test_a_tenant_reads_its_own_months_and_writes_none(activity: Activity, own_database: Database) -> None:
    await activity.use_at_random(30)
    await UsageRollUp(own_database).run()
    for tenant_id in activity.tenants:
        rows = await rows_of(own_database, tenant_id, "SELECT DISTINCT tenant_id FROM usage_monthly")
        assert [row["tenant_id"] for row in rows] == [tenant_id]
    for statement in ("UPDATE usage_monthly SET amount = 0", "SELECT * FROM usage_watermarks"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            await rows_of(own_database, activity.tenants[0], statement)


@pytest.mark.usefixtures("worker")
async def test_the_scheduler_has_a_worker_roll_up(
    make_tenant: TenantFactory, database: Database, addresses: ServiceAddresses, task_context: TaskContext
) -> None:
    activity = Activity(database, [(await make_tenant()).id])
    await activity.use_at_random(5)
    jobs = JobQueue(make_broker(addresses.redis_url))
    await roll_up_usage.run(replace(task_context, jobs=jobs))

    async def rolled_up() -> bool:
        return await activity.months() == activity.expected

    await eventually(rolled_up)
    jobs.close()
