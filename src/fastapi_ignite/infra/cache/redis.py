"""Values in Redis or Valkey, shared by every process."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fastapi_ignite.infra.cache.backend import LockOwner, Snapshot
from fastapi_ignite.infra.cache.entries import MAX_TTL_SECONDS
from fastapi_ignite.infra.redis_batches import RedisBatches

SCAN_PAGE = 200
GENERATION_MILLISECONDS = 2 * MAX_TTL_SECONDS * 1000  # counted from the last write, so it outlives its entries
# KEYS: lock, entry, tags. ARGV: owner of the lock, data, milliseconds, the generations' milliseconds, generations.
_WRITE = """
local stored = 1
for i = 3, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[i + 2] then stored = 0 end
end
if stored == 1 then
  for i = 3, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return stored
"""
# KEYS: lock, entry, tags. ARGV: owner, milliseconds. Answers whether the lock was free, then entry and tags.
_ACQUIRE = """
local acquired = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
return {acquired, unpack(redis.call('MGET', unpack(KEYS, 2)))}
"""
# KEYS: tags. ARGV: milliseconds, a new generation for each tag that has none.
_GENERATIONS = """
local current = {}
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 1], 'NX', 'PX', ARGV[1])
  current[i] = redis.call('GET', KEYS[i])
end
return current
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisBackend:
    """A generation is a random token. Invalidating deletes it; losing one to eviction only costs a reload."""

    name: ClassVar[str] = "redis"
    outages: ClassVar[tuple[type[Exception], ...]] = (RedisConnectionError, RedisTimeoutError, OSError)
    coalesced: ClassVar[bool] = True

    def __init__(self, url: str, *, namespace: str = "", timeout: float) -> None:
        self._redis: Any = Redis.from_url(  # its annotations allow str where this client is given bytes
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1),  # once, at once: for a connection that went stale in the pool
            client_name="ignite-cache",
        )
        self._batches = RedisBatches(self._redis)
        self._namespace = f"{namespace}:" if namespace else ""
        self._write = self._batches.script(_WRITE)
        self._generations = self._batches.script(_GENERATIONS)
        self._release = self._batches.script(_RELEASE)
        self._acquire = self._batches.script(_ACQUIRE)

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        data, *current = await self._batches.execute("MGET", self._entry(key), *self._tags(tags))
        return await self._snapshot(data, current, tags)

    async def _snapshot(self, data: bytes | None, current: Sequence[bytes | None], tags: Sequence[str]) -> Snapshot:
        known = tuple(generation.decode() for generation in current if generation is not None)
        return Snapshot(data, known if len(known) == len(tags) else await self.generations(tags))

    async def write(
        self,
        key: str,
        data: bytes,
        ttl: float,
        tags: Sequence[str],
        generations: Sequence[str],
        *,
        release: LockOwner | None = None,
    ) -> bool:
        lock, owner = release or ("", "")
        arguments: tuple[bytes | int | str, ...] = (
            owner,
            data,
            _milliseconds(ttl),
            GENERATION_MILLISECONDS,
            *generations,
        )
        return bool(await self._write([self._lock(lock), self._entry(key), *self._tags(tags)], arguments))

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        new = [secrets.token_hex(8) for _ in tags]
        current = await self._generations(self._tags(tags), [GENERATION_MILLISECONDS, *new])
        return tuple(generation.decode() for generation in current)

    async def invalidate(self, tags: Sequence[str]) -> None:
        if tags:
            await self._redis.unlink(*self._tags(tags))

    async def acquire(
        self, lock: str, owner: str, seconds: float, key: str, tags: Sequence[str]
    ) -> tuple[bool, Snapshot]:
        acquired, data, *current = await self._acquire(
            [self._lock(lock), self._entry(key), *self._tags(tags)], [owner, _milliseconds(seconds)]
        )
        return bool(acquired), await self._snapshot(data, current, tags)

    async def release(self, lock: str, owner: str) -> None:
        await self._release([self._lock(lock)], [owner])

    async def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self._entry(prefix)) + "*"
        cursor = 0
        while True:
            # a key may be shown twice; one that was there throughout is never missed
            cursor, names = await self._redis.scan(cursor, match=pattern, count=SCAN_PAGE)
            if names:
                keys = [name.decode(errors="replace").removeprefix(self._namespace) for name in names]
                yield [(key, data or b"") for key, data in zip(keys, await self._redis.mget(names), strict=True)]
            if not cursor:
                return

    async def delete(self, keys: Sequence[str]) -> int:
        return int(await self._redis.unlink(*map(self._entry, keys))) if keys else 0

    async def close(self) -> None:
        await self._redis.aclose()

    def _entry(self, key: str) -> str:
        return self._namespace + key

    # no entry's key begins with `~`
    def _tags(self, tags: Sequence[str]) -> list[str]:
        return [f"{self._namespace}~tag:{tag}" for tag in tags]

    def _lock(self, lock: str) -> str:
        return f"{self._namespace}~lock:{lock}"


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
