"""The rate limits of the service, over the last minute."""

from __future__ import annotations

import time
from collections import deque

from openai_simulator.errors import rate_limited

MINUTE = 60.0


class RateWindows:
    """Sliding windows of one minute, one for each key. A refused call does not count."""

    def __init__(self) -> None:
        self._passed: dict[str, deque[float]] = {}

    def admit(self, key: str, limit: int | None, cost: int = 1) -> None:
        """Count a call, or raise the error with status 429 if the limit is reached."""
        if limit is None:
            return
        now = time.monotonic()
        passed = self._passed.setdefault(key, deque())
        while passed and passed[0] <= now - MINUTE:
            passed.popleft()
        if len(passed) + cost > limit:
            wait = passed[0] + MINUTE - now if passed else MINUTE
            raise rate_limited(key, limit, wait)
        passed.extend([now] * cost)

    def clear(self) -> None:
        self._passed.clear()
