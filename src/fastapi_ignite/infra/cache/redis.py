"""Values in Redis or Valkey, shared by every process."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fastapi_ignite.infra.cache.backend import MAX_TTL_SECONDS, Snapshot
from fastapi_ignite.infra.cache.coalesced_reads import CoalescedReads

SCAN_PAGE = 200
GENERATION_MILLISECONDS = 2 * MAX_TTL_SECONDS * 1000  # outlives every entry that names it
# `~` occurs in no entry's key
_TAG_PREFIX = "~tag:"
_LOCK_PREFIX = "~lock:"

# Stores unless a tag has another generation by now, and lets those generations outlive the entry.
# KEYS: entry, tags. ARGV: data, milliseconds, the generations' milliseconds, generations.
_WRITE = """
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[i + 2] then return 0 end
end
for i = 2, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# KEYS: tags. ARGV: milliseconds, a new generation for each tag that has none.
_GENERATIONS = """
local current = {}
for i = 1, #KEYS do
  current[i] = redis.call('GET', KEYS[i])
  if not current[i] then
    current[i] = ARGV[i + 1]
    redis.call('SET', KEYS[i], current[i], 'PX', ARGV[1])
  end
end
return current
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisBackend:
    """A generation is a random token; invalidating deletes it, and losing one to eviction only costs a reload."""

    name: ClassVar[str] = "redis"
    outages: ClassVar[tuple[type[Exception], ...]] = (RedisConnectionError, RedisTimeoutError, OSError)

    def __init__(self, url: str, *, namespace: str = "", timeout: float) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1),  # once, at once: for a connection that went stale in the pool
            client_name="ignite-cache",
        )
        self._namespace = f"{namespace}:" if namespace else ""
        self._write = self._redis.register_script(_WRITE)
        self._generations = self._redis.register_script(_GENERATIONS)
        self._release = self._redis.register_script(_RELEASE)
        self._reads = CoalescedReads(self._read)

    async def read(self, key: str, tags: Sequence[str]) -> Snapshot:
        """One MGET for all who ask at the moment; a second call only where a tag has no generation."""
        return await self._reads.read(key, tags)

    async def _read(self, key: str, tags: Sequence[str]) -> Snapshot:
        data, *current = await self._values([self._entry(key), *self._tags(tags)])
        known = tuple(generation.decode() for generation in current if generation is not None)
        return Snapshot(data, known if len(known) == len(tags) else await self.generations(tags))

    async def write(self, key: str, data: bytes, ttl: float, tags: Sequence[str], generations: Sequence[str]) -> bool:
        """Comparing and storing is one step."""
        milliseconds = max(1, int(ttl * 1000))
        return bool(
            await self._write(
                keys=[self._entry(key), *self._tags(tags)],
                args=[data, milliseconds, GENERATION_MILLISECONDS, *generations],
            )
        )

    async def generations(self, tags: Sequence[str]) -> tuple[str, ...]:
        """New ones are made in the same step, so that all processes agree on them."""
        new = [secrets.token_hex(8) for _ in tags]
        current = await self._generations(keys=self._tags(tags), args=[GENERATION_MILLISECONDS, *new])
        return tuple(generation.decode() for generation in current)

    async def invalidate(self, tags: Sequence[str]) -> None:
        """The next reader makes a new generation; nothing is left behind for tags that nobody reads."""
        if tags:
            await self._redis.unlink(*self._tags(tags))

    async def acquire(self, lock: str, owner: str, seconds: float) -> bool:
        """A dead owner's lock ends after `seconds`."""
        name = self._namespace + _LOCK_PREFIX + lock
        return bool(await self._redis.set(name, owner, nx=True, px=max(1, int(seconds * 1000))))

    async def release(self, lock: str, owner: str) -> None:
        """A lock that ran out may be another's by now, and is left."""
        await self._release(keys=[self._namespace + _LOCK_PREFIX + lock], args=[owner])

    async def scan(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Redis may show a key twice; it never misses one that was there throughout."""
        escaped = "".join(f"\\{character}" if character in "*?[]\\" else character for character in self._entry(prefix))
        cursor = 0
        while True:
            cursor, found = await self._redis.scan(cursor, match=f"{escaped}*", count=SCAN_PAGE)
            if found:
                names = [cast("bytes", name).decode(errors="replace") for name in found]
                values = await self._values(names)
                keys = [name.removeprefix(self._namespace) for name in names]
                yield [(key, data or b"") for key, data in zip(keys, values, strict=True)]
            if not cursor:
                return

    async def delete(self, keys: Sequence[str]) -> int:
        """Memory is returned in the background."""
        return int(await self._redis.unlink(*map(self._entry, keys))) if keys else 0

    async def close(self) -> None:
        """Return the connections."""
        await self._reads.close()
        await self._redis.aclose()

    async def _values(self, names: list[str]) -> list[bytes | None]:
        return cast("list[bytes | None]", await self._redis.mget(names))

    def _entry(self, key: str) -> str:
        return self._namespace + key

    def _tags(self, tags: Sequence[str]) -> list[str]:
        return [self._namespace + _TAG_PREFIX + tag for tag in tags]
