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
TIMEOUT_SECONDS = 0.1
RETRY_REDIS_AFTER_SECONDS = 5.0
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
    """Never raises and never waits longer than `TIMEOUT_SECONDS` for Redis."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._local = _ProcessWindow()
        self._redis_away_until = 0.0

    async def hit(self, key: str, limit: int) -> RateDecision:
        """Take one unit of `key`'s `limit` in the rolling minute, if there is one."""
        if time.monotonic() >= self._redis_away_until:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    allowed, remaining, reset = await self._script(
                        keys=[f"rate:{{{key}}}"], args=[limit, WINDOW_SECONDS * 1_000_000, secrets.token_hex(8)]
                    )
                return RateDecision(bool(allowed), limit, remaining, reset / 1000)
            except (RedisError, OSError, TimeoutError) as error:
                self._redis_away_until = time.monotonic() + RETRY_REDIS_AFTER_SECONDS
                log.warning("rate limit without redis", error=type(error).__name__)
        DEGRADED.inc()
        return self._local.hit(key, limit)


class _ProcessWindow:
    """The same window from this process's own requests, bounded in keys."""

    def __init__(self) -> None:
        self._hits: dict[str, deque[float]] = {}

    def hit(self, key: str, limit: int) -> RateDecision:
        now = time.monotonic()
        if key not in self._hits and len(self._hits) >= MAX_LOCAL_KEYS:
            self._hits.pop(next(iter(self._hits)))
        hits = self._hits.setdefault(key, deque())
        while hits and hits[0] <= now - WINDOW_SECONDS:
            hits.popleft()
        allowed = len(hits) < limit
        if allowed:
            hits.append(now)
        next_back = hits[max(0, len(hits) - limit)]
        remaining = max(0, limit - len(hits))
        return RateDecision(allowed, limit, remaining, next_back + WINDOW_SECONDS - now, degraded=True)
