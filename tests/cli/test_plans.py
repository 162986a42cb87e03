"""Tests of `cli.py plans`, and of what it changes for the tenants of a plan."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from support.command_line import CommandLine
from support.http_clients import TenantClient, client_for

FIGURES = ("--max-projects", "1", "--message-cap", "20", "--upload-char-cap", "3000")


@pytest.fixture
def plan_id() -> str:
    return f"plan-{new_id().hex[-12:]}"


@pytest.fixture
async def anonymous(settings: Settings, migrated: ServiceAddresses) -> AsyncIterator[httpx2.AsyncClient]:
    """Return an HTTP client without a token, for an API on the database of these commands."""
    async with open_state(settings, migrated) as state, client_for(settings, state) as client:
        yield client


def row(listing: str, plan_id: str) -> list[str]:
    """Return the cells of a plan in the printed table."""
    rows = [re.split(r"\s*[│|]\s*", line.strip("│| ")) for line in listing.splitlines()]
    return next(cells for cells in rows if cells[0] == plan_id)


class TestList:
    def test_it_shows_the_seeded_plans_with_their_figures(self, commands: CommandLine) -> None:
        listing = commands.run("plans", "list").succeeded()
        free = ["RATE_LIMIT_RPM", "0 / 0 USD", "yes"]
        assert row(listing, "hobby") == ["hobby", "Hobby", "3", "2,000", "500,000", *free]
        assert row(listing, "pro") == ["pro", "Pro", "10", "20,000", "2,000,000", *free]

    def test_without_a_schema_it_says_what_to_do(self, folder: Path, empty: ServiceAddresses) -> None:
        refused = CommandLine.on_servers(folder, empty).run("plans", "list").refused_with()
        assert refused.endswith("Run 'python cli.py db migrate'.")


class TestSet:
    def test_a_new_plan_needs_its_figures_and_then_keeps_what_is_not_given(
        self, commands: CommandLine, plan_id: str
    ) -> None:
        refused = commands.run("plans", "set", plan_id, "--max-projects", "1").refused_with()
        assert refused == f"{plan_id} is a new plan. It needs --max-projects, --message-cap and --upload-char-cap."

        commands.run("plans", "set", plan_id, *FIGURES, "--rate-limit-rpm", "9").succeeded()
        commands.run("plans", "set", plan_id, "--message-cap", "0", "--name", "[/] Small [bold]").succeeded()
        listing = commands.run("plans", "list").succeeded()
        assert row(listing, plan_id) == [plan_id, "[/] Small [bold]", "1", "0", "3,000", "9", "0 / 0 USD", "yes"]

        prices = ("--monthly-price", "1900", "--annual-price", "19000", "--currency", "EUR", "--inactive")
        commands.run("plans", "set", plan_id, *prices, "--rate-limit-rpm", "0").succeeded()
        listing = commands.run("plans", "list").succeeded()
        assert row(listing, plan_id)[5:] == ["RATE_LIMIT_RPM", "1900 / 19000 EUR", "no"]

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("  ", *FIGURES), 1),
            (("x" * 101, *FIGURES), 1),
            (("hobby", "--name", " "), 1),
            (("hobby", "--max-projects", "-1"), 2),
            (("hobby", "--rate-limit-rpm", "1000000001"), 2),
            (("hobby", "--currency", "euro"), 1),
            (("hobby", "--monthly-price", "-1"), 2),
        ],
    )
    def test_wrong_arguments_change_nothing(self, commands: CommandLine, arguments: tuple[str, ...], code: int) -> None:
        finished = commands.run("plans", "set", *arguments)
        assert (finished.code, finished.output) == (code, "")
        assert "Traceback" not in finished.error

    async def test_a_change_acts_on_a_tenant_at_once(
        self, commands: CommandLine, plan_id: str, anonymous: httpx2.AsyncClient, settings: Settings
    ) -> None:
        async def change(*arguments: str) -> None:
            (await asyncio.to_thread(commands.run, "plans", "set", plan_id, *arguments)).succeeded()

        await change(*FIGURES)
        created = await anonymous.post("/tenants/create", params={"name": "Acme", "plan_id": plan_id})
        tenant_id = UUID(created.json()["tenant_id"])
        headers = {"Authorization": f"Bearer {sign_token(tenant_id, settings)}"}
        tenant = TenantClient(tenant_id, anonymous, headers)
        await tenant.create_project("First")
        refused = await tenant.post("/ingestion/projects/create", params={"name": "Second"})
        assert (refused.status_code, refused.json()["cap"]) == (402, 1)

        await change("--max-projects", "2", "--rate-limit-rpm", "77")
        await tenant.create_project("Second")
        assert (await tenant.get("/limits/current")).json()["limits"] == {
            "max_projects": 2,
            "monthly_message_cap": 20,
            "monthly_upload_char_cap": 3000,
        }
        await rate_becomes(tenant, 77)

        await change("--rate-limit-rpm", "0")
        await rate_becomes(tenant, settings.rate_limit.rpm)


async def rate_becomes(tenant: TenantClient, rpm: int) -> None:
    """Wait until the API applies this rate. It caches rates for one second."""
    async with asyncio.timeout(60):
        while True:
            answer = await tenant.get("/limits/current")
            if answer.headers["X-RateLimit-Limit"] == str(rpm):
                return
            await asyncio.sleep(0.1)
