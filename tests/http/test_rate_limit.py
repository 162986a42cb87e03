"""Tests of the rate limits of tenants and of addresses."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date
from typing import cast
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from fastapi_ignite.billing.tenant_access import TenantAccessReader
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.middleware import RequestContext
from fastapi_ignite.http.rate_limit import costs
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import create_app
from support.fixed_days import calendar_at
from support.http_clients import TenantClient, TenantFactory, WithState
from support.http_contract import problem
from support.watched_statements import recorded_statements

LimitedApi = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
HEADERS = ("ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
BAD_TOKEN = {"Authorization": "Bearer garbage"}


@pytest.fixture
def limited(settings: Settings, state: AppState) -> LimitedApi:
    """Return a function that starts the API with the limits of a test, for calls from an address that is new."""

    @asynccontextmanager
    async def start(
        *,
        rpm: int = 10**6,
        anonymous_rpm: int = 10**6,
        by_operation: dict[str, int] | None = None,
        redis: Redis | None = None,
        address: str | None = None,
    ) -> AsyncGenerator[httpx2.AsyncClient]:
        own = settings.rate_limit.model_copy(update={"rpm": rpm, "anonymous_rpm": anonymous_rpm, "costs": by_operation})
        changed = settings.model_copy(update={"rate_limit": own})
        app = WithState(
            create_app(changed),
            {
                **state,
                "settings": changed,
                # a busy machine must not look like an outage
                "limiter": RateLimiter(redis) if redis else RateLimiter(state["redis"], patience=30),
                "tenants": TenantAccessReader(state["database"], rpm),
            },
        )
        transport = httpx2.ASGITransport(app, client=(address or new_address(), 50_000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://ignite.test/api/v1") as client:
            yield client

    return start


def new_address() -> str:
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


def a_caller(tenant: TenantClient, api: httpx2.AsyncClient) -> TenantClient:
    return TenantClient(tenant.id, api, tenant.headers)


async def plan_with_rate(database: Database, rpm: int) -> str:
    plan_id = f"plan-{new_id().hex[-12:]}"
    async with database.system() as session:
        await session.execute(
            text(
                "INSERT INTO plans (id, name, max_projects, monthly_message_cap, monthly_upload_char_cap, "
                "rate_limit_rpm) VALUES (:id, 'Test', 3, 5, 100, :rpm)"
            ),
            {"id": plan_id, "rpm": rpm},
        )
    return plan_id


def statuses(answers: list[httpx2.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


async def test_exactly_n_of_three_n_at_once_pass(limited: LimitedApi, tenant: TenantClient) -> None:
    async with limited(rpm=40) as api:
        caller = a_caller(tenant, api)
        answers = await asyncio.gather(*(caller.get("/limits/current") for _ in range(120)))
    passed = [answer for answer in answers if answer.status_code == 200]
    assert Counter(answer.status_code for answer in answers) == {200: 40, 429: 80}
    remaining = [int(answer.headers["x-ratelimit-remaining"]) for answer in passed]
    assert sorted(remaining) == list(range(40)), "each unit is told once"
    assert all(name in answer.headers for answer in answers for name in HEADERS)
    assert not any("x-ratelimit-mode" in answer.headers for answer in answers)


async def test_the_headers_of_both_answers(limited: LimitedApi, tenant: TenantClient) -> None:
    async with limited(rpm=2) as api:
        caller = a_caller(tenant, api)
        passed, _, refused = [await caller.get("/limits/current") for _ in range(3)]
    reset = passed.headers["x-ratelimit-reset"]
    assert 1 <= int(reset) <= 60
    assert {name: passed.headers[name] for name in HEADERS} == {
        "ratelimit": f'"rpm";r=1;t={reset}',
        "ratelimit-policy": '"rpm";q=2;w=60',
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": reset,
    }
    assert "retry-after" not in passed.headers
    body = problem(refused, 429, "rate_limited")
    wait = refused.headers["retry-after"]
    assert 1 <= int(wait) <= 60
    assert (body["limit"], body["retry_after_seconds"]) == (2, int(wait))
    assert refused.headers["x-ratelimit-reset"] == wait
    assert refused.headers["ratelimit"] == f'"rpm";r=0;t={wait}'


async def test_a_tenant_does_not_use_up_anothers_minute(limited: LimitedApi, make_tenant: TenantFactory) -> None:
    busy, quiet = await make_tenant(), await make_tenant()
    async with limited(rpm=2) as api:
        assert statuses([await a_caller(busy, api).get("/limits/current") for _ in range(3)]) == [200, 200, 429]
        assert (await a_caller(quiet, api).get("/limits/current")).status_code == 200


async def test_every_route_counts_on_the_same_minute(limited: LimitedApi, tenant: TenantClient) -> None:
    async with limited(rpm=4) as api:
        caller = a_caller(tenant, api)
        answers = [
            await caller.post("/ingestion/projects/create", params={"name": "Docs"}),
            await caller.get(f"/query/messages/{uuid4()}"),
            await caller.post("/query/ask", json={}),
            await caller.get("/limits/current", params={"tenant_id": str(uuid4())}),
            await caller.post("/billing/subscribe", params={"plan_id": "pro"}),
        ]
    assert statuses(answers) == [200, 404, 422, 403, 429]
    assert answers[3].headers["x-ratelimit-remaining"] == "0"


async def test_a_refused_request_is_not_carried_out(limited: LimitedApi, tenant: TenantClient) -> None:
    read = False

    async def body() -> AsyncGenerator[bytes]:
        nonlocal read
        read = True
        yield b"{}"

    async with limited(rpm=1) as api:
        caller = a_caller(tenant, api)
        await caller.get("/limits/current")
        refused = await caller.post("/billing/subscribe", params={"plan_id": "pro"}, content=body())
    problem(refused, 429, "rate_limited")
    assert not read
    assert (await tenant.get("/limits/current")).json()["plan_id"] == "hobby"


async def test_a_plan_may_carry_its_own_rate(
    limited: LimitedApi, make_tenant: TenantFactory, database: Database
) -> None:
    tenant = await make_tenant(await plan_with_rate(database, 3))
    async with limited(rpm=100) as api:
        answers = [await a_caller(tenant, api).get("/limits/current") for _ in range(4)]
    assert statuses(answers) == [200, 200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit"] == "3"


async def test_the_plans_own_number_ends_with_the_subscription(
    limited: LimitedApi, make_tenant: TenantFactory, database: Database
) -> None:
    with calendar_at(date(2031, 1, 31)) as calendar:
        tenant = await make_tenant(await plan_with_rate(database, 3))
        await tenant.post("/billing/cancel")
        calendar.today = date(2031, 2, 28)
        async with limited(rpm=100) as api:
            answer = await a_caller(tenant, api).get("/limits/current")
    assert (answer.json(), answer.headers["x-ratelimit-limit"]) == ({"subscribed": False}, "100")


async def test_requests_that_come_together_look_the_plan_up_once(
    addresses: ServiceAddresses, tenant: TenantClient
) -> None:
    """A burst of requests must not use all connections of the pool for the same query."""
    own = Database(addresses.api_url, pool_size=1)
    tenants = TenantAccessReader(own, 70)
    with recorded_statements(own) as statements:
        assert {each.rpm for each in await asyncio.gather(*(tenants.access(tenant.id) for _ in range(50)))} == {70}
    await own.close()
    assert sum("subscriptions" in statement for statement in statements) == 1


async def test_public_routes_are_limited_by_address(limited: LimitedApi) -> None:
    async with limited(anonymous_rpm=3) as api:
        answers = [await api.get("/plans/") for _ in range(4)]
    assert statuses(answers) == [200, 200, 200, 429]
    problem(answers[3], 429, "rate_limited")
    assert answers[3].headers["retry-after"]
    async with limited(anonymous_rpm=3) as elsewhere:
        assert (await elsewhere.get("/plans/")).status_code == 200


async def test_creating_tenants_is_limited_by_address(limited: LimitedApi) -> None:
    async with limited(anonymous_rpm=1) as api:
        create = "/tenants/create?name=Acme&plan_id=hobby"
        assert statuses([await api.post(create), await api.post(create)]) == [200, 429]


async def test_bad_tokens_use_up_the_addresss_minute(limited: LimitedApi, tenant: TenantClient) -> None:
    async with limited(anonymous_rpm=3) as api:
        answers = [
            await api.get("/limits/current", headers=BAD_TOKEN),
            await api.get("/limits/current"),
            await api.get("/plans/"),
            await api.get("/limits/current", headers=BAD_TOKEN),
        ]
        assert statuses(answers) == [401, 401, 200, 429]
        assert all(name in answer.headers for answer in answers for name in HEADERS)
        good = await a_caller(tenant, api).get("/limits/current")
        assert good.status_code == 200, "a neighbour with bad tokens locks nobody out"


class TestCosts:
    """These tests cover operations that cost more than one unit."""

    async def test_the_setting_names_operations(self, limited: LimitedApi, tenant: TenantClient) -> None:
        async with limited(rpm=10, by_operation={"subscribe": 4}) as api:
            caller = a_caller(tenant, api)
            path = "/billing/subscribe?plan_id=pro"
            answers = [await caller.post(path), await caller.get("/limits/current"), await caller.post(path)]
            refused = await caller.post(path)
            last = await caller.get("/limits/current")
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["6", "5", "1"]
        body = problem(refused, 429, "rate_limited")
        assert (body["cost"], body["limit"]) == (4, 10)
        assert refused.headers["x-ratelimit-remaining"] == "1"
        assert last.status_code == 200, "a refused request takes nothing"

    async def test_a_route_says_its_own(self, settings: Settings, state: AppState, tenant: TenantClient) -> None:
        router = tenant_router("/dear", "dear")

        @router.get("/thing", openapi_extra=requires(Scope.USAGE_READ))
        @costs(7)
        async def dear_thing() -> int:
            return 1

        for configured, remaining in ((None, "3"), ({"dear_thing": 2}, "8")):
            rates = settings.rate_limit.model_copy(update={"costs": configured})
            app = FastAPI()
            app.include_router(router)
            app.add_middleware(RequestContext)
            own = {
                **state,
                "settings": settings.model_copy(update={"rate_limit": rates}),
                "limiter": RateLimiter(state["redis"], patience=30),
                "tenants": TenantAccessReader(state["database"], 10),
            }
            transport = httpx2.ASGITransport(WithState(app, cast("AppState", own)))
            async with httpx2.AsyncClient(transport=transport, base_url="http://ignite.test") as api:
                answer = await api.get("/dear/thing", headers=tenant.headers)
            assert answer.headers["x-ratelimit-remaining"] == remaining
            await state["redis"].delete(f"rate:{{tenant:{tenant.id}}}")

    async def test_a_bad_token_costs_one(self, limited: LimitedApi) -> None:
        async with limited(anonymous_rpm=10, by_operation={"subscribe": 4}) as api:
            answer = await api.post("/billing/subscribe?plan_id=pro", headers=BAD_TOKEN)
        assert answer.headers["x-ratelimit-remaining"] == "9"

    async def test_an_operation_that_is_not_there_stops_the_program(self, settings: Settings) -> None:
        rates = settings.rate_limit.model_copy(update={"costs": {"ask": 2, "aks": 2}})
        with pytest.raises(ConfigurationError, match="aks"):
            create_app(settings.model_copy(update={"rate_limit": rates}))


class TestAddresses:
    """These tests check which addresses share a limit.

    A caller can use all IPv6 addresses of a /64, so these count as one address.
    """

    @pytest.mark.parametrize(
        ("first", "second", "shared"),
        [
            ("2001:db8:{0}:1::1", "2001:db8:{0}:1:ffff::2", True),
            ("2001:db8:{0}:1::1", "2001:db8:{0}:2::1", False),
            ("::ffff:198.51.{1}.{2}", "198.51.{1}.{2}", True),
            ("203.0.{1}.{2}", "198.18.{1}.{2}", False),
        ],
        ids=["one /64", "two /64", "IPv4 in IPv6", "two IPv4"],
    )
    async def test_who_shares_a_minute(self, limited: LimitedApi, first: str, second: str, *, shared: bool) -> None:
        parts = (secrets.token_hex(2), secrets.randbelow(256), secrets.randbelow(256))
        statuses = []
        for address in (first.format(*parts), second.format(*parts)):
            async with limited(anonymous_rpm=1, address=address) as api:
                statuses.append((await api.get("/plans/")).status_code)
        assert statuses == [200, 429 if shared else 200]


async def test_the_addresss_limit_is_ten_times_the_tenants_unless_set(settings: Settings) -> None:
    rates = settings.rate_limit.model_copy(update={"rpm": 7, "anonymous_rpm": None})
    assert rates.per_address == 70
    assert rates.model_copy(update={"anonymous_rpm": 5}).per_address == 5
    assert rates.model_copy(update={"rpm": 10**9}).per_address == 10**9


@pytest.mark.parametrize("path", ["/health", "/health/live", "/app-info", "/../openapi.json", "/../docs", "/../redoc"])
async def test_pages_and_probes_are_exempt(limited: LimitedApi, path: str) -> None:
    async with limited(anonymous_rpm=1) as api:
        answers = [await api.get(path) for _ in range(3)]
    assert statuses(answers) == [200, 200, 200]
    assert not any(name in answers[0].headers for name in HEADERS)


class TestRedisIsAway:
    """These tests check that requests are still answered, that this process limits them, and that a header says so."""

    async def limited_by_the_process(self, api: httpx2.AsyncClient, tenant: TenantClient) -> None:
        caller = a_caller(tenant, api)
        answers = await asyncio.gather(*(caller.get("/limits/current") for _ in range(12)))
        assert Counter(answer.status_code for answer in answers) == {200: 4, 429: 8}
        assert {answer.headers.get("x-ratelimit-mode") for answer in answers} == {"degraded"}
        assert all(name in answer.headers for answer in answers for name in HEADERS)
        refused = next(answer for answer in answers if answer.status_code == 429)
        problem(refused, 429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await api.get("/limits/current", headers=BAD_TOKEN)).status_code == 401

    async def test_nobody_listens(self, limited: LimitedApi, tenant: TenantClient) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            async with (
                Redis(host="127.0.0.1", port=bound.getsockname()[1]) as dead,
                limited(rpm=4, redis=dead) as api,
            ):
                await self.limited_by_the_process(api, tenant)

    async def test_nobody_answers(self, limited: LimitedApi, tenant: TenantClient) -> None:
        """The client has no timeout, so the timeout of the limiter must be enough."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(100)
            async with (
                Redis(host="127.0.0.1", port=silent.getsockname()[1], socket_timeout=None) as mute,
                limited(rpm=4, redis=mute) as api,
            ):
                await self.limited_by_the_process(api, tenant)
