"""The script of the rate limit with a clock that a test moves, exact to the microsecond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.ratelimit.script import EXACT_UP_TO, GRAIN_SECONDS, ROLLING_WINDOW, WINDOW_SECONDS

MICROSECONDS = 1_000_000
START = 1_790_000_000 * MICROSECONDS


@dataclass(frozen=True, slots=True)
class Decision:
    """Holds an answer of the script."""

    allowed: bool
    remaining: int
    wait_ms: int


class MovedWindow:
    """Runs the script on the window of one key."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.key = f"rate:{{test:{new_id()}}}"
        self._clock = f"{self.key}:clock"
        moved = ROLLING_WINDOW.replace("redis.call('TIME')", f"redis.call('LRANGE', '{self._clock}', 0, 1)")
        assert moved != ROLLING_WINDOW
        self._script = redis.register_script(moved)
        self.now = START

    def forward(self, seconds: float) -> None:
        """Move the clock. A negative number moves it back."""
        self.now += round(seconds * MICROSECONDS)

    def hit(self, limit: int, cost: int = 1, *debts: tuple[float, int]) -> Decision:
        """Ask for units of the limit. Each of the `debts` is an age in seconds and a number of units."""
        self.redis.delete(self._clock)
        self.redis.rpush(self._clock, self.now // MICROSECONDS, self.now % MICROSECONDS)
        told = [number for age, units in debts for number in (round(age * MICROSECONDS), units)]
        grain = round(GRAIN_SECONDS * MICROSECONDS)
        arguments = [limit, WINDOW_SECONDS * MICROSECONDS, grain, EXACT_UP_TO, cost, *told]
        answer: Any = self._script(keys=[self.key], args=arguments)
        return Decision(bool(answer[0]), answer[1], answer[2])

    def passes(self, limit: int, cost: int = 1) -> bool:
        """Return whether a request is allowed."""
        return self.hit(limit, cost).allowed

    def close(self) -> None:
        """Delete the keys of this window."""
        self.redis.delete(self.key, self._clock)
