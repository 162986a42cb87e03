"""Usage by day and entry by entry, and the rest of a cap."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService
from support.fixed_days import calendar_at
from support.http_clients import TenantClient, TenantFactory
from support.tenant_records import make_plan, rows_of
from support.usage_records import books_of
from support.watched_statements import recorded_statements


async def use(database: Database, tenant: TenantClient, metric: Metric, amount: int) -> None:
    async with database.tenant(tenant.id) as session:
        usage = UsageService(session, tenant.id)
        await usage.settle(await usage.reserve(metric, amount, lifetime=None))


class TestByDay:
    async def test_it_has_every_day_of_the_range(self, make_tenant: TenantFactory, database: Database) -> None:
        with calendar_at(date(2031, 3, 1)) as calendar:
            tenant = await make_tenant()
            await use(database, tenant, Metric.MESSAGES, 2)
            await tenant.create_project()
            calendar.pass_days(2)
            await use(database, tenant, Metric.MESSAGES, 1)
            await use(database, tenant, Metric.CHARACTERS, 700)
            shown = (await tenant.get("/usage?start=2031-02-28&end=2031-03-03")).json()
            default = (await tenant.get("/usage")).json()
        none = {"projects": 0, "messages": 0, "characters": 0}
        assert shown["days"] == [
            {"day": "2031-02-28", **none},
            {"day": "2031-03-01", "projects": 1, "messages": 2, "characters": 0},
            {"day": "2031-03-02", **none},
            {"day": "2031-03-03", "projects": 0, "messages": 1, "characters": 700},
        ]
        assert shown["totals"] == {"projects": 1, "messages": 3, "characters": 700}
        assert (default["start"], default["end"], len(default["days"])) == ("2031-02-02", "2031-03-03", 30)
        assert default["totals"] == shown["totals"]

    @pytest.mark.parametrize(
        "query", ["start=2024-06-02&end=2024-06-01", "start=2023-01-01&end=2024-01-02", "start=9999-12-31"]
    )
    async def test_other_ranges_are_refused(self, tenant: TenantClient, query: str) -> None:
        answer = await tenant.get(f"/usage?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_range")

    @pytest.mark.parametrize("query", ["end=0001-01-01", "start=9998-12-31&end=9999-12-31"])
    async def test_the_first_and_the_last_days_there_are(self, tenant: TenantClient, query: str) -> None:
        assert (await tenant.get(f"/usage?{query}")).status_code == 200


class TestLedger:
    async def test_every_unit_is_in_it_newest_first(self, tenant: TenantClient, database: Database) -> None:
        project = await tenant.create_project()
        await tenant.ask(project, "Anything?")
        await use(database, tenant, Metric.CHARACTERS, 700)
        async with database.tenant(tenant.id) as session:
            await UsageService(session, tenant.id).give_back_project()
        entries = (await tenant.get("/usage/ledger")).json()["entries"]
        assert [(entry["metric"], entry["amount"], entry["reason"]) for entry in entries] == [
            ("projects", -1, "given_back"),
            ("characters", 700, "settled"),
            ("messages", 1, "settled"),
            ("projects", 1, "taken"),
        ]
        assert [bool(entry["reservation_id"]) for entry in entries] == [False, True, True, False]
        assert [bool(entry["quota_period_start"]) for entry in entries] == [False, True, True, False]
        assert (await books_of(database, tenant.id)).add_up()

    async def test_pages_follow_one_another(self, tenant: TenantClient, database: Database) -> None:
        for amount in range(1, 6):
            await use(database, tenant, Metric.CHARACTERS, amount)
        amounts: list[int] = []
        cursor = ""
        for _ in range(3):
            page = (await tenant.get(f"/usage/ledger?limit=2{cursor}")).json()
            amounts += [entry["amount"] for entry in page["entries"]]
            cursor = f"&after={page['next_after']}"
        assert amounts == [5, 4, 3, 2, 1]
        assert page["next_after"] is None

    async def test_nobody_can_change_it(self, tenant: TenantClient, database: Database) -> None:
        await use(database, tenant, Metric.CHARACTERS, 700)
        for statement in ("UPDATE usage_ledger SET amount = 0", "DELETE FROM usage_ledger", "TRUNCATE usage_ledger"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                await rows_of(database, tenant.id, statement)
            with pytest.raises(ProgrammingError, match="permission denied"):
                async with database.system() as session:
                    await session.execute(text(statement))


class TestHeaders:
    async def test_a_question_says_what_is_left(self, make_tenant: TenantFactory, database: Database) -> None:
        with calendar_at(date(2031, 1, 31)):
            tenant = await make_tenant(await make_plan(database, messages=2))
            project = await tenant.create_project()
            left = []
            for _ in range(3):
                answer = await tenant.ask(project, "Anything?")
                assert answer.headers["X-Quota-Metric"] == "messages"
                assert answer.headers["X-Quota-Limit"] == "2"
                # from noon of January 31 to the midnight before February 28
                assert answer.headers["X-Quota-Reset"] == str(27 * 86400 + 43200)
                left.append((answer.status_code, answer.headers["X-Quota-Remaining"]))
        assert left == [(200, "1"), (200, "0"), (402, "0")]

    async def test_projects_never_reset(self, tenant: TenantClient) -> None:
        answer = await tenant.post("/ingestion/projects/create?name=Docs")
        told = {name: value for name, value in answer.headers.items() if name.startswith("x-quota")}
        assert told == {"x-quota-metric": "projects", "x-quota-limit": "3", "x-quota-remaining": "2"}

    @pytest.mark.usefixtures("worker")
    async def test_an_upload_says_what_is_left_before_it(self, tenant: TenantClient, database: Database) -> None:
        project = await tenant.create_project()
        await use(database, tenant, Metric.CHARACTERS, 1000)
        answer = await tenant.upload(project, ("a.txt", b"Some words."))
        assert answer.headers["X-Quota-Metric"] == "characters"
        assert answer.headers["X-Quota-Remaining"] == str(500_000 - 1000)

    async def test_what_costs_nothing_says_nothing(self, tenant: TenantClient) -> None:
        answer = await tenant.get("/limits/current")
        assert not [name for name in answer.headers if name.startswith("x-quota")]


async def test_limits_take_one_statement_however_much_is_counted(
    tenant: TenantClient, database: Database, state: AppState
) -> None:
    await tenant.create_project()
    for metric in (Metric.MESSAGES, Metric.CHARACTERS):
        await use(database, tenant, metric, 3)
    await rows_of(
        database,
        tenant.id,
        "INSERT INTO usage_counters (tenant_id, metric, period_start, used) "
        "SELECT tenant_id, metric, period_start - 31, 999 FROM usage_counters WHERE metric <> 'projects'",
    )
    await tenant.get("/limits/current")  # the plan's rate is read at most once a second
    with recorded_statements(state["database"]) as statements:
        body = (await tenant.get("/limits/current")).json()
    assert body["usage"] == {"projects": 1, "messages_used": 3, "chars_uploaded": 3}
    reads = [statement for statement in statements if "usage_counters" in statement]
    assert len(reads) == 1
    assert len([statement for statement in statements if "set_config" not in statement]) <= 2


async def test_a_hold_outlives_the_turn_of_its_month(make_tenant: TenantFactory, database: Database) -> None:
    """The reservation is settled in the month and on the day in which it was made."""
    with calendar_at(date(2031, 5, 1)) as calendar:
        tenant = await make_tenant()
        calendar.today = date(2031, 5, 31)
        async with database.tenant(tenant.id) as session:
            hold = await UsageService(session, tenant.id).reserve(Metric.CHARACTERS, 10, lifetime=timedelta(days=9))
        calendar.today = date(2031, 6, 1)
        async with database.tenant(tenant.id) as session:
            await UsageService(session, tenant.id).settle(hold)
        assert (await tenant.get("/limits/current")).json()["usage"]["chars_uploaded"] == 0
    books = await books_of(database, tenant.id)
    assert books.used == {(Metric.CHARACTERS, date(2031, 5, 1)): 10}
    assert books.days == {(Metric.CHARACTERS, date(2031, 5, 31)): 10}
    assert books.add_up()
