"""The rate limiter: Redis decides for all processes, or this process alone while Redis is away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fastapi_ignite.core.outage_log import OutageLog
from fastapi_ignite.infra.breaker import CircuitBreaker
from fastapi_ignite.infra.ratelimit.process import Debt, ProcessWindows
from fastapi_ignite.infra.ratelimit.script import EXACT_UP_TO, GRAIN_SECONDS, ROLLING_WINDOW, WINDOW_SECONDS
from fastapi_ignite.infra.redis_batches import RedisBatches

PATIENCE_SECONDS = 0.06
RETRY_REDIS_AFTER_SECONDS = 5.0
MICROSECONDS = 1_000_000

DEGRADED = Counter("ignite_rate_limit_degraded_total", "Requests limited by one process alone because Redis was away")
log = structlog.get_logger(__name__)


def window_key(key: str) -> str:
    """Return the name under which Redis has the window."""
    return f"rate:{{{key}}}"


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Says whether the cost was taken.

    After a refusal `reset_seconds` is the wait until the cost is free, else the wait until the oldest unit comes back.
    `degraded` marks a decision without Redis.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float
    degraded: bool = False


class Limiter(Protocol):
    """Counts units."""

    async def hit(self, key: str, limit: int, *, cost: int = 1) -> RateDecision:
        """Take `cost` units of `key`'s `limit` in the rolling minute, if there are as many.

        A cost above the limit takes the whole minute.
        """
        ...


class _RedisAwayError(Exception):
    """Redis did not decide, so this process has to."""


class _Breaker(CircuitBreaker):
    unavailable: ClassVar[type[Exception]] = _RedisAwayError

    def __init__(self, *, timeout: float) -> None:
        super().__init__(
            outages=(RedisConnectionError, RedisTimeoutError, OSError),
            timeout=timeout,
            retry_after=RETRY_REDIS_AFTER_SECONDS,
        )
        self._outages_log = OutageLog(log, away="rate limit without redis", back="rate limit by redis again")

    def _failed(self, operation: str, error: Exception, *, outage: bool) -> None:
        if not outage:  # an error about this key or of this moment: the next call may work
            log.warning("rate limit not counted by redis", operation=operation, error=type(error).__name__)

    def _went_away(self, operation: str, error: Exception) -> None:
        self._outages_log.failed(error, operation=operation)

    def _recovered(self) -> None:
        self._outages_log.answered()


class RateLimiter:
    """Never raises, and waits for Redis for 60 ms at most. While it is away one request in five seconds asks for it.

    Units given meanwhile are told to Redis when it is back, so that an outage gives no second minute. An answer that
    came too late may have counted as well: then its units count twice, never not at all.
    """

    def __init__(self, redis: Redis, *, patience: float = PATIENCE_SECONDS) -> None:
        self._script = RedisBatches(redis).script(ROLLING_WINDOW)
        self._local = ProcessWindows()
        self._breaker = _Breaker(timeout=patience)

    async def hit(self, key: str, limit: int, *, cost: int = 1) -> RateDecision:
        """Take units as `Limiter` says, in one round trip to Redis."""
        cost = min(cost, limit)
        window = self._local.current(key, time.monotonic())
        debts = window.take_debts()
        try:
            decision = await self._breaker.run("hit", lambda: self._ask_redis(key, limit, cost, debts))
        except _RedisAwayError:
            window.put_back(debts)
            DEGRADED.inc()
            return self._decide(key, limit, cost)
        except BaseException:
            window.put_back(debts)
            raise
        if decision.allowed:
            # should Redis go away within the window, this process goes on from here and not from zero
            now = time.monotonic()
            self._local.current(key, now).add(now, cost, limit=limit, owed=False)
        return decision

    async def _ask_redis(self, key: str, limit: int, cost: int, debts: Sequence[Debt]) -> RateDecision:
        now = time.monotonic()
        told = [(max(0, int((now - debt.entry.at) * MICROSECONDS)), debt.units) for debt in debts]
        arguments = (
            limit,
            WINDOW_SECONDS * MICROSECONDS,
            int(GRAIN_SECONDS * MICROSECONDS),
            EXACT_UP_TO,
            cost,
            *(number for debt in told for number in debt),
        )
        allowed, remaining, wait = await self._script([window_key(key)], arguments)
        return RateDecision(bool(allowed), limit, remaining, wait / 1000)

    def _decide(self, key: str, limit: int, cost: int) -> RateDecision:
        now = time.monotonic()
        window = self._local.current(key, now)
        allowed = window.used + cost <= limit
        needed = 1 if allowed else window.used + cost - limit
        if allowed:
            window.add(now, cost, limit=limit, owed=True)
        remaining = max(0, limit - window.used)
        wait = round(window.free_at(needed) - now, 6)  # the difference of sums may be a hair above a minute
        return RateDecision(allowed, limit, remaining, wait, degraded=True)
