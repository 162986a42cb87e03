"""Each backend on a place of its own, and a cache on it that is quick to give up."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.infra.cache import Cache, CacheBackend, FileBackend, MemoryBackend, RedisBackend, use_cache
from fastapi_ignite.infra.services import ServiceAddresses

MEBIBYTE = 2**20


@pytest.fixture(params=["redis", "file", "memory"])
async def backend(
    request: pytest.FixtureRequest, addresses: ServiceAddresses, tmp_path: Path
) -> AsyncGenerator[CacheBackend]:
    """Each of the three in turn. The time limits are long: a busy machine is no outage."""
    made: CacheBackend
    match request.param:
        case "redis":
            made = RedisBackend(addresses.redis_url, namespace=uuid4().hex, timeout=30)
        case "file":
            made = FileBackend(tmp_path / "cache", max_bytes=16 * MEBIBYTE)
        case _:
            made = MemoryBackend(max_bytes=16 * MEBIBYTE)
    yield made
    await made.close()


@pytest.fixture
async def cache(backend: CacheBackend) -> AsyncGenerator[Cache]:
    """The cache that the decorators find."""
    made = Cache(backend, timeout=30)
    try:
        with use_cache(made):
            yield made
    finally:
        await made.close()


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time stands still but for this."""
    now = clock.now()

    def move(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    monkeypatch.setattr(clock, "now", lambda: now)
    return move
