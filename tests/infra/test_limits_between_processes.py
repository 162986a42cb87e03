"""Tests with real processes: two share a rate window, and one is killed while it owns a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import text

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import Claim, IdempotencyConflictError, IdempotencyStore
from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.processes import Program

# Hits one window many times at once after a line on stdin. Prints how many hits were allowed and how many degraded.
HITTER = """
import asyncio, sys
from redis.asyncio import Redis
from fastapi_ignite.infra.ratelimit import RateLimiter

url, key, limit, hits = sys.argv[1:]

async def main():
    async with Redis.from_url(url) as redis:
        limiter = RateLimiter(redis, patience=30)  # a busy machine must not look like an outage
        await limiter.hit(f"{key}:warm-up", 1)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        decisions = await asyncio.gather(*(limiter.hit(key, int(limit)) for _ in range(int(hits))))
        print(sum(one.allowed for one in decisions), sum(one.degraded for one in decisions), flush=True)

asyncio.run(main())
"""

# Claims a key and then waits without an end, before the commit or after it.
CLAIMER = """
import asyncio, sys
from uuid import UUID
from sqlalchemy import make_url
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import Claim, IdempotencyStore

url, tenant_id, committed = sys.argv[1:]

async def main():
    claim = Claim.of(tenant_id=UUID(tenant_id), route="POST /things", key="key", request=b"body")
    async with Database(make_url(url), pool_size=1).tenant(claim.tenant_id) as session:
        await IdempotencyStore(session).claim(claim)
        if committed != "yes":
            print("claimed", flush=True)
            await asyncio.Event().wait()
    print("claimed", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def start(source: str, *arguments: object) -> Program:
        programs.append(Program(source, *arguments))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


def test_two_processes_at_full_speed_are_given_exactly_the_limit(
    addresses: ServiceAddresses, start: Callable[..., Program]
) -> None:
    key = f"test:{new_id()}"
    hitters = [start(HITTER, addresses.redis_url, key, 200, 300) for _ in range(2)]
    for hitter in hitters:
        assert hitter.line() == "ready"
    for hitter in hitters:
        hitter.go()
    told = [[int(number) for number in hitter.line().split()] for hitter in hitters]
    assert sum(allowed for allowed, _ in told) == 200
    assert sum(degraded for _, degraded in told) == 0


class TestAKilledOwner:
    """These tests cover an owner that ends with `kill -9`, as in a crash."""

    async def kill_after_claim(
        self, addresses: ServiceAddresses, start: Callable[..., Program], tenant_id: UUID, *, committed: bool
    ) -> None:
        url = addresses.api_url.render_as_string(hide_password=False)
        owner = start(CLAIMER, url, tenant_id, "yes" if committed else "no")
        assert await asyncio.to_thread(owner.line) == "claimed"
        owner.kill()

    async def claim(self, database: Database, tenant_id: UUID) -> None:
        claim = Claim.of(tenant_id=tenant_id, route="POST /things", key="key", request=b"body")
        async with database.tenant(tenant_id) as session:
            await IdempotencyStore(session).claim(claim)

    async def test_before_its_commit_leaves_nothing(
        self, addresses: ServiceAddresses, database: Database, start: Callable[..., Program]
    ) -> None:
        tenant_id = new_id()
        await self.kill_after_claim(addresses, start, tenant_id, committed=False)
        await self.claim(database, tenant_id)

    async def test_after_its_commit_holds_the_key_for_the_lease_only(
        self, addresses: ServiceAddresses, database: Database, start: Callable[..., Program]
    ) -> None:
        tenant_id = new_id()
        await self.kill_after_claim(addresses, start, tenant_id, committed=True)
        with pytest.raises(IdempotencyConflictError):
            await self.claim(database, tenant_id)
        async with database.tenant(tenant_id) as session:
            await session.execute(text("UPDATE idempotency_keys SET lease_until = now()"))
        await self.claim(database, tenant_id)
