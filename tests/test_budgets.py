"""docs/performance.md: a hot request asks no more of PostgreSQL, Redis and SQLAlchemy than its budget says."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import event
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.ext.asyncio import AsyncEngine

from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from support.counted_traffic import Traffic, counted_postgres, counted_redis
from support.databases import fetch
from support.doc_pages import page
from support.http_clients import TenantClient, client_for, tenant_factory
from support.tenant_records import eventually

WARMING, MEASURED = 4, 6
ITEMS = 20
ROW = re.compile(r"^\| (?P<request>[^|]+?) \|(?P<numbers>(?: [\d,]+ \|){7})$", re.MULTILINE)


class Counts(NamedTuple):
    """One request. The bytes are those of both directions."""

    sql_round_trips: int
    sql_statements: int
    sql_rows: int
    sql_bytes: int
    sql_compiled: int
    redis_round_trips: int
    redis_bytes: int


@dataclass
class Servers:
    """Counts what one application asked of the servers, and how often SQLAlchemy compiled for it."""

    postgres: Traffic
    redis: Traffic
    compiled: int = 0

    @contextmanager
    def watching(self, engine: AsyncEngine) -> Generator[None]:
        event.listen(engine.sync_engine, "before_cursor_execute", self._note)
        try:
            yield
        finally:
            event.remove(engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, *arguments: Any) -> None:
        context: DefaultExecutionContext | None = arguments[4]
        if context is not None and context.compiled is not None:
            self.compiled += context.cache_hit is not CacheStats.CACHE_HIT

    def take(self) -> Counts:
        """Return what was counted since the last call."""
        postgres, redis, compiled = self.postgres.take(), self.redis.take(), self.compiled
        self.compiled = 0
        return Counts(
            postgres.round_trips,
            postgres.statements,
            postgres.rows,
            postgres.byte_count,
            compiled,
            redis.round_trips,
            redis.byte_count,
        )


@dataclass
class Caller:
    """Sends the hot requests of one tenant. `project` has one file, and uploads go into `inbox`.

    The database already has `foreign_items` of other tests, which are of any length. Lists begin after them.
    """

    servers: Servers
    tenant: TenantClient
    project: str
    inbox: str
    item: str
    foreign_items: int
    _numbers: count[int] = field(default_factory=count)

    async def get(self, path: str, **params: object) -> httpx2.Response:
        return await self.tenant.get(path, params=params)

    async def get_fresh(self, path: str, **params: object) -> httpx2.Response:
        """No cache of responses knows the answer, because the URL is new."""
        return await self.get(path, n=str(uuid4()), **params)

    async def upload(self) -> httpx2.Response:
        content = f"The orchard of {next(self._numbers):04} keeps pears."
        return await self.tenant.upload(self.inbox, ("pears.txt", content.encode()), wait_seconds=0)


REQUESTS: dict[str, Callable[[Caller], Awaitable[httpx2.Response]]] = {
    "`GET /health`": lambda caller: caller.get("/health"),
    "`GET /items/{item_id}`, cached": lambda caller: caller.get(f"/items/{caller.item}"),
    "`GET /items/{item_id}`, not cached": lambda caller: caller.get_fresh(f"/items/{caller.item}"),
    "`GET /items/?limit=20`, not cached": lambda caller: caller.get_fresh(
        "/items/", skip=caller.foreign_items, limit=ITEMS
    ),
    "`GET /limits/current`": lambda caller: caller.get("/limits/current"),
    "`POST /query/search`": lambda caller: caller.tenant.search(caller.project, "apple trees"),
    "`POST /query/ask`": lambda caller: caller.tenant.ask(caller.project, "How many apple trees does it keep?"),
    "`POST …/upload_and_attach`, one small file": lambda caller: caller.upload(),
}


def budgets() -> dict[str, Counts]:
    """The rows of the table."""
    rows = ROW.finditer(page("docs/performance.md"))
    return {
        row["request"]: Counts(*(int(number.replace(",", "")) for number in re.findall(r"[\d,]+", row["numbers"])))
        for row in rows
    }


@pytest.fixture(scope="module")
async def caller(settings: Settings, addresses: ServiceAddresses, worker: None) -> AsyncGenerator[Caller]:
    del worker
    patient = settings.cache.model_copy(update={"timeout_seconds": 5})  # a busy machine is no outage of the cache
    settings = settings.model_copy(update={"cache": patient})
    with counted_postgres(addresses.api_url) as postgres, counted_redis(addresses.redis_url) as redis:
        counted = replace(addresses, api_url=postgres[0], redis_url=redis[0])
        async with open_state(settings, counted) as state, client_for(settings, state) as client:
            tenant = await tenant_factory(client, settings)()
            project = await tenant.create_project()
            uploaded = await tenant.upload(project, ("orchard.txt", b"The orchard keeps nine apple trees."))
            assert uploaded.json()["batch_status"] == "completed"

            async def embedded() -> bool:
                return bool((await tenant.get(f"/ingestion/projects/{project}/files")).json()["embedded"] == 1)

            await eventually(embedded)
            assert (await tenant.ask(project, "How many trees?")).is_success  # so that each of its counters has a row
            foreign_items = (await fetch(addresses.owner_url, "SELECT count(*) FROM items"))[0][0]
            created = [await client.post("/items/", json={"name": f"Notebook {n}"}) for n in range(2 * ITEMS)]
            servers = Servers(postgres[1], redis[1])
            with servers.watching(state["database"].engine):
                inbox = await tenant.create_project("Inbox")
                yield Caller(servers, tenant, project, inbox, created[0].json()["id"], foreign_items)


def test_every_request_has_a_budget() -> None:
    assert list(budgets()) == list(REQUESTS)


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_stays_within_its_budget(name: str, caller: Caller) -> None:
    for _ in range(WARMING):
        assert (await REQUESTS[name](caller)).is_success
    measured = []
    for _ in range(MEASURED):
        caller.servers.take()
        assert (await REQUESTS[name](caller)).is_success
        measured.append(caller.servers.take())
    # the cheapest, because some things are looked up once a second
    needed = Counts(*map(min, zip(*measured, strict=True)))
    print(f"| {name} | {' | '.join(f'{number:,}' for number in needed)} |")  # noqa: T201  `-rP` shows it
    over = {
        field: f"{number} instead of at most {allowed}"
        for field, number, allowed in zip(Counts._fields, needed, budgets()[name], strict=True)
        if number > allowed
    }
    assert not over, f"{name} asks more than its budget in docs/performance.md: {over}"
