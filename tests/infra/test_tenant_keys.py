"""Tests that the keys of one tenant are removed, in Redis and in the folder of the file cache, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
from redis import Redis

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.sections import CacheSettings
from fastapi_ignite.infra.cache import cached, open_cache
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.infra.tenant_keys import TenantKeys

calls: list[tuple[UUID, int]] = []


@cached(key="kept:{number}", tags=["kept"])
async def kept(tenant_id: UUID, number: int) -> int:
    calls.append((tenant_id, number))
    return number


def names_of(redis: Redis, tenant_id: UUID) -> list[bytes]:
    return list(redis.scan_iter(match=f"*{tenant_id}*", count=1000))


@pytest.mark.parametrize("backend", ["redis", "file"])
@pytest.mark.parametrize("namespace", ["", "ours"])
async def test_what_is_cached_of_one_tenant_goes(
    addresses: ServiceAddresses, tmp_path: Path, backend: Literal["redis", "file"], namespace: str
) -> None:
    settings = CacheSettings(backend_type=backend, namespace=namespace, file_path=tmp_path)
    leaving, staying = new_id(), new_id()
    async with open_cache(settings, redis_url=addresses.redis_url):
        for tenant_id in (leaving, staying):
            for number in range(3):
                await kept(tenant_id, number)
        calls.clear()
        await kept(leaving, 1)
        assert calls == [], "it is cached"
        await TenantKeys(settings, redis_url=addresses.redis_url).remove(leaving)
        await kept(staying, 1)
        assert calls == [], "the other tenant's is cached still"
        await kept(leaving, 1)
        assert calls == [(leaving, 1)]


@pytest.mark.parametrize("namespace", ["", "ours"])
async def test_the_window_of_the_rate_limit_goes(addresses: ServiceAddresses, redis: Redis, namespace: str) -> None:
    from redis.asyncio import Redis as AsyncRedis  # noqa: PLC0415  beside the blocking client of the tests

    leaving, staying = new_id(), new_id()
    async with AsyncRedis.from_url(addresses.redis_url) as connection:
        limiter = RateLimiter(connection, patience=5)
        for tenant_id in (leaving, staying):
            await limiter.hit(f"tenant:{tenant_id}", 10)
    assert len(names_of(redis, leaving)) == 1
    settings = CacheSettings(namespace=namespace)
    await TenantKeys(settings, redis_url=addresses.redis_url).remove(leaving)
    assert names_of(redis, leaving) == []
    assert len(names_of(redis, staying)) == 1


async def test_with_a_namespace_the_keys_of_other_programs_stay(addresses: ServiceAddresses, redis: Redis) -> None:
    tenant_id = new_id()
    redis.set(f"theirs:{tenant_id}", "1")
    await TenantKeys(CacheSettings(namespace="ours"), redis_url=addresses.redis_url).remove(tenant_id)
    assert redis.delete(f"theirs:{tenant_id}") == 1
