"""What a hit costs on each backend, beside the same endpoint without a cache, in one run.

    PYTHONPATH=src:tests:bench python bench/cache.py [--requests 100]

Each figure is the median over rounds in which all ways take turns, so that what else the machine does hits all of them
alike; ratios are taken within a round. Sequential requests through the whole application (ASGI, no socket) on embedded
servers of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx2

from fastapi_ignite.core.config import Settings, load_settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.core.sections import CacheSettings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.cache import Cache, RedisBackend, cached, open_cache, use_cache
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.services import Services
from fastapi_ignite.main import create_app, open_state

from embedded_services import acquire

ROUNDS = 12
BACKENDS = ("redis", "file", "memory")


class Spent(NamedTuple):
    """Milliseconds a request. `wall` suffers from whatever else the machine does, `cpu` does not."""

    wall: float
    cpu: float


def client_of(settings: Settings, state: AppState) -> httpx2.AsyncClient:
    app = create_app(settings)

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = dict(state)
        await app(scope, receive, send)

    return httpx2.AsyncClient(transport=httpx2.ASGITransport(with_state), base_url="http://bench/api/v1", timeout=60)


async def spent(client: httpx2.AsyncClient, path: str, expected: str, requests: int) -> Spent:
    """Per request, over so many of them, each answered as expected."""
    await client.get(path)
    cpu, taken = time.process_time(), []
    for _ in range(requests):
        began = time.perf_counter()
        answer = await client.get(path)
        taken.append(time.perf_counter() - began)
        assert answer.status_code == 200
        assert answer.headers.get("x-cache", "") == expected
    return Spent(median(taken) * 1e3, (time.process_time() - cpu) / requests * 1e3)


@cached(key="bench.value", shared=True)
async def value() -> dict[str, str]:
    return {"name": "Notebook"}


async def function_microseconds(cache: Cache, calls: int) -> float:
    """A hit without FastAPI around it."""
    with use_cache(cache):
        await value()
        began = time.perf_counter()
        for _ in range(calls):
            await value()
        return (time.perf_counter() - began) / calls * 1e6


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
        caches["uncached"] = Cache(RedisBackend("redis://127.0.0.1:1/0", timeout=0.25), retry_after=3600)
        stack.push_async_callback(caches["uncached"].close)
        for number in range(100):
            await client.post("/items/", json={"name": f"Notebook {number}", "description": "Plain pages " * 8})
        item = (await client.get("/items/?limit=1")).json()[0]
        for label, path in (("GET /items/{id}", f"/items/{item['id']}"), ("GET /items/ (100)", "/items/?limit=100")):
            await compare(client, label, path, caches, requests)
        floor = [await spent(client, "/health", "", requests) for _ in range(ROUNDS)]
        print(f"{'GET /health':18} {'-':9} {show(floor)}")
        for name in BACKENDS:
            taken = [await function_microseconds(caches[name], requests) for _ in range(ROUNDS)]
            print(f"{'function, hit':18} {name:9} {median(taken):6.0f} µs (best round {min(taken):.0f})")


async def compare(client: httpx2.AsyncClient, label: str, path: str, caches: dict[str, Cache], requests: int) -> None:
    rounds: dict[str, list[Spent]] = {name: [] for name in ("uncached", *BACKENDS)}
    for _ in range(ROUNDS):
        for name, taken in rounds.items():
            with use_cache(caches[name]):
                taken.append(await spent(client, path, "bypass" if name == "uncached" else "hit", requests))
    for name, taken in rounds.items():
        ratios = [mine.wall / base.wall for mine, base in zip(taken, rounds["uncached"], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{label:18} {name:9} {show(taken)}   {median(ratios):.2f} of uncached ({spread})")


def show(rounds: list[Spent]) -> str:
    wall, cpu = median([each.wall for each in rounds]), median([each.cpu for each in rounds])
    return f"{wall:6.2f} ms, {cpu:5.2f} ms of it CPU of the API"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100, help="in each round")
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
