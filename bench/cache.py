"""What a hit costs on each backend, beside the same endpoint without a cache, in one run.

    PYTHONPATH=src python bench/cache.py [--requests 3000] [--seconds 10]

Each figure is the median over rounds in which all ways take turns, so that a change of the machine's mood hits all of
them. Sequential requests through the whole application (ASGI, no socket) on embedded servers of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import httpx2

from fastapi_ignite.core.config import CacheSettings, Settings, load_settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.http.state import State
from fastapi_ignite.infra.cache import Cache, RedisBackend, open_cache, use_cache
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.embedded import acquire
from fastapi_ignite.infra.services import Services
from fastapi_ignite.main import create_app, open_state

ROUNDS = 12
BACKENDS = ("redis", "file", "memory")
Measure = Callable[[str], Awaitable[float]]


def client_of(settings: Settings, state: State) -> httpx2.AsyncClient:
    app = create_app(settings)

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = dict(state)
        await app(scope, receive, send)

    return httpx2.AsyncClient(transport=httpx2.ASGITransport(with_state), base_url="http://bench/api/v1", timeout=60)


async def milliseconds(client: httpx2.AsyncClient, path: str, expected: str, requests: int) -> float:
    """The median of so many requests, each of them answered as expected."""
    taken = []
    for _ in range(requests):
        began = time.perf_counter()
        answer = await client.get(path)
        taken.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200
        assert answer.headers["x-cache"] == expected, answer.headers["x-cache"]
    return median(taken)


async def look_up_microseconds(cache: Cache, path: str, client: httpx2.AsyncClient) -> float:
    """The cached function alone, without FastAPI around it."""
    del client
    from fastapi_ignite.infra.cache import cached  # noqa: PLC0415  only this measure needs it

    @cached(key="bench.value", shared=True)
    async def value() -> dict[str, str]:
        return {"path": path}

    with use_cache(cache):
        await value()
        began = time.perf_counter()
        for _ in range(500):
            await value()
        return (time.perf_counter() - began) / 500 * 1e6


async def measure(settings: Settings, services: Services, folder: Path, requests: int) -> None:
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(settings, services.addresses))
        client = await stack.enter_async_context(client_of(settings, state))
        caches = {
            name: await stack.enter_async_context(
                open_cache(
                    CacheSettings(backend_type=name, namespace=f"bench-{name}", file_path=folder / "cache"),
                    redis_url=services.addresses.redis_url,
                )
            )
            for name in BACKENDS
        }
        away = Cache(RedisBackend("redis://127.0.0.1:1/0", timeout=0.25), retry_after=3600)
        stack.push_async_callback(away.close)
        for number in range(100):
            await client.post("/items/", json={"name": f"Notebook {number}", "description": "Plain pages " * 8})
        item = (await client.get("/items/?limit=1")).json()[0]
        for path in (f"/items/{item['id']}", "/items/?limit=100"):
            await compare(client, path, caches, away, requests // ROUNDS)
        for name, cache in caches.items():
            taken = median([await look_up_microseconds(cache, "x", client) for _ in range(ROUNDS)])
            print(f"function alone, hit: {name:7} {taken:7.0f} µs")


async def compare(client: httpx2.AsyncClient, path: str, caches: dict[str, Cache], away: Cache, requests: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in ("uncached", *caches)}
    for name, cache in caches.items():
        del name
        with use_cache(cache):
            await client.get(path)
    with use_cache(away):
        await client.get(path)
    for _ in range(ROUNDS):
        with use_cache(away):
            taken["uncached"].append(await milliseconds(client, path, "bypass", requests))
        for name, cache in caches.items():
            with use_cache(cache):
                taken[name].append(await milliseconds(client, path, "hit", requests))
    uncached = median(taken["uncached"])
    label = path if "?" in path else "/items/{item_id}"
    for name, rounds in taken.items():
        ratios = [each / base for each, base in zip(rounds, taken["uncached"], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{label:20} {name:9} {median(rounds):6.2f} ms   {median(rounds) / uncached:5.2f} of uncached ({spread})")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1200)
    arguments = parser.parse_args()
    defaults = load_settings(env_file=None)
    with tempfile.TemporaryDirectory(prefix="ignite-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # noqa: ASYNC240  nothing else runs yet
        settings = defaults.model_copy(
            update={
                "ignite": defaults.ignite.model_copy(update={"data_dir": folder / "data"}),
                "rate_limit": defaults.rate_limit.model_copy(update={"rpm": 10**6}),
            }
        )
        configure_logging(settings)
        logging.getLogger().setLevel(logging.ERROR)
        with acquire(folder / "data", durable=False) as lease:
            services = Services(settings, lease)
            await asyncio.to_thread(migrations.upgrade, services.addresses)
            await measure(settings, services, folder, arguments.requests)


if __name__ == "__main__":
    asyncio.run(main())
