"""Tenants that share two server connections behind pgbouncer in transaction mode must see only their own rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.main import open_state
from support.databases import fetch, new_database
from support.http_clients import TenantClient, client_for
from support.pgbouncer_server import reason_to_skip, running_pgbouncer

pytestmark = pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip()))
POOL_SIZE = 2
TENANTS = 20
ROUNDS = 2


@pytest.fixture(scope="module")
def pooled(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Make a database that only its owner can reach without pgbouncer."""
    with (
        new_database(addresses, template="template_migrated") as own,
        running_pgbouncer(own, pool_size=POOL_SIZE) as it,
    ):
        yield it


@pytest.fixture(scope="module")
async def pooled_state(settings: Settings, pooled: ServiceAddresses) -> AsyncGenerator[AppState]:
    """Return the state of an application whose own pool is far larger than pgbouncer's; its jobs reach no worker."""
    large = settings.postgres.model_copy(update={"pool_size": TENANTS})
    without_worker = replace(pooled, rabbitmq_url="redis://127.0.0.1:1/0")
    async with open_state(settings.model_copy(update={"postgres": large}), without_worker) as state:
        yield state


@pytest.fixture(scope="module")
async def api(settings: Settings, pooled_state: AppState) -> AsyncGenerator[httpx2.AsyncClient]:
    async with client_for(settings, pooled_state) as client:
        yield client


@pytest.fixture(scope="module")
async def processor(pooled: ServiceAddresses, pooled_state: AppState) -> AsyncGenerator[FileProcessor]:
    """Return a worker's file processor, which the test calls itself; its connections go through pgbouncer too."""
    database = Database(pooled.worker_url, pool_size=TENANTS)
    yield FileProcessor(
        database=database,
        storage=pooled_state["storage"],
        engines=pooled_state["engines"],
        jobs=pooled_state["jobs"],
    )
    await database.close()


class PooledTenant:
    """A tenant with one document, which checks that it sees this document and nothing else."""

    def __init__(self, tenant: TenantClient, number: int) -> None:
        self._tenant = tenant
        self._name = f"Project {number}"
        self._fact = f"The gate of house {number} opens with the number {7000 + number}."
        self._number = number
        self._project = ""
        self._file = ""
        self._asked = 0

    async def fill(self, processor: FileProcessor) -> None:
        self._project = await self._tenant.create_project(self._name)
        answer = await self._tenant.upload(self._project, (f"{self._number}.txt", self._fact.encode()), wait_seconds=0)
        self._file = answer.json()["files"][0]["id"]
        await processor.process(self._tenant.id, UUID(self._file))

    async def check(self) -> None:
        await self._create_again()
        await self._list()
        await self._ask()
        await self._limits()

    async def _create_again(self) -> None:
        answer = await self._tenant.post("/ingestion/projects/create", params={"name": self._name})
        assert (answer.json()["id"], answer.json()["status"]) == (self._project, "exists")

    async def _list(self) -> None:
        listed = (await self._tenant.get(f"/ingestion/projects/{self._project}/files")).json()["files"]
        assert [(file["id"], file["filename"], file["status"]) for file in listed] == [
            (self._file, f"{self._number}.txt", "completed")
        ]

    async def _ask(self) -> None:
        """Ask a question that all tenants ask, but that each tenant's document answers differently."""
        answer = (await self._tenant.ask(self._project, "What opens the gate of the house?")).json()
        self._asked += 1
        assert answer["answer"] == self._fact
        assert [citation["file_id"] for citation in answer["citations"]] == [self._file]

    async def _limits(self) -> None:
        usage = (await self._tenant.get("/limits/current")).json()["usage"]
        assert usage == {"projects": 1, "messages_used": self._asked, "chars_uploaded": len(self._fact)}


async def make_pooled_tenant(api: httpx2.AsyncClient, settings: Settings, number: int) -> PooledTenant:
    made = await api.post("/tenants/create", params={"name": f"House {number}", "plan_id": "hobby"})
    tenant_id = UUID(made.json()["tenant_id"])
    token = sign_token(tenant_id, settings)
    return PooledTenant(TenantClient(tenant_id, api, {"Authorization": f"Bearer {token}"}), number)


async def test_interleaved_tenants_see_their_own_and_nothing_else(
    api: httpx2.AsyncClient, settings: Settings, pooled: ServiceAddresses, processor: FileProcessor
) -> None:
    tenants = await asyncio.gather(*(make_pooled_tenant(api, settings, number) for number in range(TENANTS)))
    await asyncio.gather(*(tenant.fill(processor) for tenant in tenants))
    for _ in range(ROUNDS):
        await asyncio.gather(*(tenant.check() for tenant in tenants))
    connections = await fetch(
        pooled.owner_url,
        "SELECT usename::text, count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND usename IN ('ignite_api', 'ignite_worker') GROUP BY 1 ORDER BY 1",
    )
    assert [login for login, _ in connections] == ["ignite_api", "ignite_worker"]
    assert all(int(str(count)) <= POOL_SIZE for _, count in connections), "more than pgbouncer has"


async def test_a_transaction_leaves_nothing_on_the_connection_that_the_next_one_gets(pooled_state: AppState) -> None:
    database = pooled_state["database"]

    async def read_settings() -> tuple[object, ...]:
        async with database.engine.connect() as connection:
            found = await connection.execute(text("SELECT current_user, current_setting('app.tenant_id', true)"))
            return tuple(found.one())

    async def with_a_tenant() -> None:
        async with database.tenant(new_id()) as session:
            await session.execute(text("SELECT count(*) FROM projects"))

    for _ in range(3):
        await asyncio.gather(*(with_a_tenant() for _ in range(TENANTS)))
        found = await asyncio.gather(*(read_settings() for _ in range(TENANTS)))
        assert set(found) == {("ignite_api", "")}
