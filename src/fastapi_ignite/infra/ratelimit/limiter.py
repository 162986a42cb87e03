"""A rolling-window limiter: Redis decides for all processes, this process alone while Redis is away."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from dataclasses import dataclass

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

WINDOW_SECONDS = 60
# Redis has half a second, in twenty waits: on an event loop that lags each wait lasts as long as the lag, so that a
# busy process does not take its own slowness for a Redis that is away.
WAITS = 20
WAIT_SECONDS = 0.025
RETRY_REDIS_AFTER_SECONDS = 5.0
MAX_IN_FLIGHT = 16
MAX_LOCAL_KEYS = 100_000

# One sorted set a key, scored by Redis's own clock in microseconds. Answers {allowed, remaining, reset ms}, where reset
# is the wait until the next unit is free (refused) or until the oldest one is given back (allowed).
_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local used = redis.call('ZCARD', KEYS[1])
local allowed = used < limit
if allowed then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
  used = used + 1
end
local index = allowed and 0 or used - limit
local oldest = redis.call('ZRANGE', KEYS[1], index, index, 'WITHSCORES')
return {allowed and 1 or 0, math.max(0, limit - used), math.ceil((oldest[2] + window - now) / 1000)}
"""

DEGRADED = Counter("ignite_rate_limit_degraded_total", "Requests limited by one process alone because Redis was away")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RateDecision:
    """`reset_seconds` is the wait until a unit is free again; `degraded`: decided without Redis."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    degraded: bool = False


class RateLimiter:
    """Never raises. While Redis is away one request in five seconds asks for it; the others do not wait."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._local = _ProcessWindow()
        self._turns = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._away = False
        self._ask_again_at = 0.0

    async def hit(self, key: str, limit: int) -> RateDecision:
        """Take one unit of `key`'s `limit` in the rolling minute, if there is one."""
        async with self._turns:
            decision = await self._ask_redis(key, limit) if self._may_ask() else None
        if decision is None:
            DEGRADED.inc()
            return self._local.hit(key, limit)
        if decision.allowed:
            # should Redis go away within the window, this process goes on from here and not from zero
            self._local.record(key)
        return decision

    def _may_ask(self) -> bool:
        now = time.monotonic()
        if self._away and now < self._ask_again_at:
            return False
        self._ask_again_at = now + RETRY_REDIS_AFTER_SECONDS
        return True

    async def _ask_redis(self, key: str, limit: int) -> RateDecision | None:
        arguments = (limit, WINDOW_SECONDS * 1_000_000, secrets.token_hex(8))
        call = asyncio.ensure_future(self._script(keys=[f"rate:{{{key}}}"], args=arguments))
        try:
            allowed, remaining, reset = await _patiently(call)
        except (RedisError, OSError, TimeoutError) as error:
            if not self._away:
                log.warning("rate limit without redis", error=type(error).__name__)
            self._away = True
            return None
        self._away = False
        return RateDecision(bool(allowed), limit, remaining, reset / 1000)


async def _patiently(call: asyncio.Future[list[int]]) -> list[int]:
    try:
        for _ in range(WAITS):
            done, _pending = await asyncio.wait((call,), timeout=WAIT_SECONDS)
            if done:
                return call.result()
        raise TimeoutError
    finally:
        call.cancel()


class _ProcessWindow:
    """The same window from this process's own requests, bounded in keys."""

    def __init__(self) -> None:
        self._hits: dict[str, deque[float]] = {}

    def hit(self, key: str, limit: int) -> RateDecision:
        now = time.monotonic()
        hits = self._current(key, now)
        allowed = len(hits) < limit
        if allowed:
            hits.append(now)
        next_back = hits[max(0, len(hits) - limit)]
        remaining = max(0, limit - len(hits))
        return RateDecision(allowed, limit, remaining, next_back + WINDOW_SECONDS - now, degraded=True)

    def record(self, key: str) -> None:
        """A unit that Redis gave."""
        now = time.monotonic()
        self._current(key, now).append(now)

    def _current(self, key: str, now: float) -> deque[float]:
        if key not in self._hits and len(self._hits) >= MAX_LOCAL_KEYS:
            self._hits.pop(next(iter(self._hits)))
        hits = self._hits.setdefault(key, deque())
        while hits and hits[0] <= now - WINDOW_SECONDS:
            hits.popleft()
        return hits
