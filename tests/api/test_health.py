"""Readiness as a load balancer sees it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import State
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.heartbeat import Heartbeat
from fastapi_ignite.infra.services import ServiceAddresses
from http_clients import client_for

NOBODY_LISTENS = 1


@pytest.fixture
def no_worker(redis: Redis) -> Iterator[None]:
    redis.delete("heartbeat:worker")
    yield
    redis.delete("heartbeat:worker")


async def test_health_and_liveness_are_static(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"status": "ok", "version": "1"}
    assert (await client.get("/health/live")).json() == {"status": "alive"}


@pytest.mark.usefixtures("no_worker")
async def test_a_missing_worker_is_degraded_until_it_beats(
    client: httpx2.AsyncClient, addresses: ServiceAddresses, redis: Redis
) -> None:
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "database": "ok",
        "migrations": "ok",
        "redis": "ok",
        "worker": "missing",
    }
    heartbeat = Heartbeat(addresses.redis_url, "worker")
    heartbeat.start()
    heartbeat.stop()
    assert (await client.get("/health/ready")).json()["status"] == "ready"
    assert 0 < int(redis.ttl("heartbeat:worker")) <= 35


async def test_without_redis_it_is_degraded(settings: Settings, state: State) -> None:
    away = AsyncRedis(host="127.0.0.1", port=NOBODY_LISTENS, socket_connect_timeout=0.2)
    async with client_for(settings, {**state, "redis": away}) as client:
        answer = await client.get("/health/ready")
    await away.aclose()
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["redis"]) == ("degraded", "down")


async def test_without_the_database_it_is_unavailable(
    settings: Settings, state: State, addresses: ServiceAddresses
) -> None:
    database = Database(addresses.api_url.set(port=NOBODY_LISTENS), pool_size=1)
    async with client_for(settings, {**state, "database": database}) as client:
        answer = await client.get("/health/ready")
    await database.close()
    assert answer.status_code == 503
    assert answer.json()["database"] == "down"


async def test_a_schema_of_another_version_is_unavailable(settings: Settings, state: State) -> None:
    async with client_for(settings, {**state, "schema_head": "of_tomorrow"}) as client:
        answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["migrations"] == "behind"
