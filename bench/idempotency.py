"""One key, one effect: many at once over four processes, and with a process or Redis failing at each named point.

    python -m bench.idempotency storm [--rounds 20]
    python -m bench.idempotency crash [--rounds 10]
    python -m bench.idempotency redis [--rounds 3]
    python -m bench.idempotency replay

`storm`: 200 questions with one key over four processes. `crash`: the process is killed at the point, started again, and
the question repeated with its key until it has its answer. `redis`: Redis is flushed, cut off or silent from the point
on. `replay`: how long a refused and a replayed duplicate take.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx2
from redis.asyncio import Redis
from sqlalchemy import text

from bench.crash_points import CONTROL_VARIABLE, POINTS
from bench.harness import bench_servers
from bench.processes import ApiProcess, api_processes, make_plan, make_tenant
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.flaky_redis import FlakyRedis

AT_ONCE = 200
RECOVERY_SECONDS = 90
NO_LIMIT = {"RATE_LIMIT_ANONYMOUS_RPM": "1000000", "RATE_LIMIT_RPM": "1000000", "RAG_EMBEDDER": "none"}


@dataclass(frozen=True, slots=True)
class Asker:
    """A tenant with one project, and what is on record about it."""

    tenant_id: UUID
    headers: dict[str, str]
    project: str
    database: Database

    @classmethod
    def make(cls, url: str, plan_id: str, database: Database) -> Asker:
        tenant_id, headers = make_tenant(url, plan_id)
        made = httpx2.post(f"{url}/ingestion/projects/create", params={"name": "bench"}, headers=headers, timeout=30)
        project: str = made.raise_for_status().json()["id"]
        return cls(tenant_id, headers, project, database)

    async def ask(self, client: httpx2.AsyncClient, url: str, key: str, **more: str) -> httpx2.Response:
        return await client.post(
            f"{url}/query/ask",
            json={"project_id": self.project, "question": "What is kept?"},
            headers={**self.headers, "Idempotency-Key": key, **{name.replace("_", "-"): more[name] for name in more}},
        )

    async def effects(self) -> tuple[int, int, int]:
        """Answers on record, messages charged, messages still held."""
        async with self.database.tenant(self.tenant_id) as session:
            answers = await session.scalar(text("SELECT count(*) FROM messages WHERE role = 'assistant'"))
            row = (
                await session.execute(
                    text(
                        "SELECT COALESCE(sum(used), 0), COALESCE(sum(reserved), 0) FROM usage_counters "
                        "WHERE metric = 'messages'"
                    )
                )
            ).one()
        return int(answers or 0), int(row[0]), int(row[1])


async def storm(addresses: ServiceAddresses, folder: Path, rounds: int) -> None:
    plan, database = await make_plan(addresses), Database(addresses.worker_url, pool_size=2)
    with api_processes(folder / "data", 4, **NO_LIMIT) as processes:
        urls = [process.url for process in processes]
        asker, told = Asker.make(urls[0], plan, database), Counter[str]()
        limits = httpx2.Limits(max_connections=AT_ONCE)
        for number in range(1, rounds + 1):
            key = str(new_id())
            # new connections: the server closes those that idle for five seconds
            async with httpx2.AsyncClient(timeout=60, limits=limits) as client:
                answers = await asyncio.gather(*(asker.ask(client, urls[turn % 4], key) for turn in range(AT_ONCE)))
            statuses = Counter(answer.status_code for answer in answers)
            told.update(answer.json().get("code", "answered") for answer in answers)
            assert statuses == {200: 1, 409: AT_ONCE - 1}, statuses
            assert await asker.effects() == (number, number, 0)
    await database.close()
    print(f"{rounds} rounds of {AT_ONCE} at once over 4 processes: one answer and one message a round; {dict(told)}")


async def crash(addresses: ServiceAddresses, folder: Path, rounds: int) -> None:
    """All rounds of a point are killed first; their leases then run out together."""
    plan, database = await make_plan(addresses), Database(addresses.worker_url, pool_size=2)
    process = ApiProcess(folder / "data", factory="bench.crash_points:bombed", **NO_LIMIT)
    try:
        process.wait_healthy()
        async with httpx2.AsyncClient(timeout=30) as client:
            for point in POINTS:
                print(await _crash_at(point, client, process, plan, database, rounds), flush=True)
    finally:
        process.stop()
        await database.close()


async def _crash_at(
    point: str, client: httpx2.AsyncClient, process: ApiProcess, plan: str, database: Database, rounds: int
) -> str:
    killed: list[tuple[Asker, str, float]] = []
    for _ in range(rounds):
        asker, key = Asker.make(process.url, plan, database), str(new_id())
        with contextlib.suppress(httpx2.TransportError):
            answer = await asker.ask(client, process.url, key, X_Crash_At=point)
            raise SystemExit(f"{point} was not reached: {answer.status_code} {answer.text}")
        killed.append((asker, key, time.monotonic()))
        process.start_again()
        await asyncio.to_thread(process.wait_healthy)
    told, longest = Counter[str](), 0.0
    for asker, key, at in killed:
        while True:
            answer = await asker.ask(client, process.url, key)
            code = answer.json().get("code", "answered")
            if code != "idempotency_in_progress":
                break
            assert time.monotonic() - at < RECOVERY_SECONDS + 5 * rounds, "the key is stuck"
            await asyncio.sleep(1)
        longest = max(longest, time.monotonic() - at)
        told[code] += 1
        if code == "idempotency_duplicate":
            found = await client.get(
                str(httpx2.URL(process.url).join(answer.json()["resource"])), headers=asker.headers
            )
            assert found.status_code == 200, found.text
        again = await asker.ask(client, process.url, key)
        assert again.json()["code"] == "idempotency_duplicate", again.text
        answers, charged, held = await asker.effects()
        assert (answers, charged) == (1, 1), (point, answers, charged, held)
        assert held <= 1, held  # of the dead request, until the scheduler's sweeper ends it
    return f"{point:14} x {rounds}: one answer, one message each; {dict(told)}, at most {longest:.0f} s after the kill"


@contextlib.asynccontextmanager
async def controlled_line(addresses: ServiceAddresses) -> AsyncGenerator[tuple[FlakyRedis, int]]:
    """The way to Redis, and the port at which it takes orders."""
    async with FlakyRedis(addresses.redis_url) as line, Redis.from_url(addresses.redis_url) as redis:

        async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            order = (await reader.readline()).decode().strip()
            if order == "flush":
                await redis.flushall()
            else:
                await {"cut": line.cut, "hang": line.hang}[order]()
            writer.write(b"done")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(obey, "127.0.0.1", 0)
        async with server:
            yield line, server.sockets[0].getsockname()[1]


async def redis_outages(addresses: ServiceAddresses, folder: Path, rounds: int) -> None:
    plan, database = await make_plan(addresses), Database(addresses.worker_url, pool_size=2)
    async with controlled_line(addresses) as (line, port):
        variables = {**NO_LIMIT, "REDIS_URL": line.url, CONTROL_VARIABLE: str(port), "CACHE_BACKEND_TYPE": "memory"}
        process = ApiProcess(folder / "data", factory="bench.crash_points:bombed", **variables)
        try:
            await asyncio.to_thread(process.wait_healthy)
            async with httpx2.AsyncClient(timeout=30) as client:
                for action in ("flush", "cut", "hang"):
                    for point in POINTS:
                        for _ in range(rounds):
                            await _redis_at(f"{point} {action}", client, process, plan, database)
                            await line.restore()
                    print(f"Redis {action} at each of {len(POINTS)} points x {rounds}: one answer, one message each")
        finally:
            await asyncio.to_thread(process.stop)
            await database.close()


async def _redis_at(where: str, client: httpx2.AsyncClient, process: ApiProcess, plan: str, database: Database) -> None:
    asker = await asyncio.to_thread(Asker.make, process.url, plan, database)
    key = str(new_id())
    first = await asker.ask(client, process.url, key, X_Redis_At=where)
    assert first.status_code == 200, (where, first.text)
    duplicates = await asyncio.gather(*(asker.ask(client, process.url, key) for _ in range(5)))
    assert {answer.json()["code"] for answer in duplicates} == {"idempotency_duplicate"}, where
    replayed = await asker.ask(client, process.url, key, Prefer="idempotency=replay")
    assert replayed.content == first.content, where
    assert await asker.effects() == (1, 1, 0), where


async def replay(addresses: ServiceAddresses, folder: Path) -> None:
    plan, database = await make_plan(addresses), Database(addresses.worker_url, pool_size=2)
    with api_processes(folder / "data", 1, **NO_LIMIT) as (process,):
        asker, key = Asker.make(process.url, plan, database), str(new_id())
        async with httpx2.AsyncClient(timeout=30) as client:
            await asker.ask(client, process.url, key)
            for name, more in (("refused", {}), ("replayed", {"Prefer": "idempotency=replay"})):
                times = []
                for _ in range(1000):
                    began = time.perf_counter()
                    await asker.ask(client, process.url, key, **more)
                    times.append((time.perf_counter() - began) * 1000)
                percentiles = statistics.quantiles(times, n=100)
                print(f"a {name} duplicate: median {percentiles[49]:.1f} ms, p99 {percentiles[98]:.1f} ms")
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("storm", "crash", "redis", "replay"))
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    with bench_servers() as (addresses, folder):
        run = {
            "storm": lambda: storm(addresses, folder, options.rounds or 20),
            "crash": lambda: crash(addresses, folder, options.rounds or 10),
            "redis": lambda: redis_outages(addresses, folder, options.rounds or 3),
            "replay": lambda: replay(addresses, folder),
        }
        asyncio.run(run[options.what]())


if __name__ == "__main__":
    main()
