"""Fixtures of the three cache backends, each with its own data, and of a cache on them."""

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
    """Return each of the three backends in turn. Long timeouts keep a busy machine from looking like an outage."""
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
    """Install a cache that the decorators use."""
    made = Cache(backend, timeout=30)
    try:
        with use_cache(made):
            yield made
    finally:
        await made.close()


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock, and return a function that moves it."""
    now = clock.now()

    def move(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    monkeypatch.setattr(clock, "now", lambda: now)
    return move
