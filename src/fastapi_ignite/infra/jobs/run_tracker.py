"""The runs of periodic jobs that are under way, and when each job last succeeded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import structlog

from fastapi_ignite.infra.jobs.declarations import PeriodicJob

# A run that takes longer than this, and than its job's patience, is stuck.
MIN_STUCK = timedelta(minutes=10)
log = structlog.get_logger(__name__)


class RunTracker:
    """Knows the runs under way, so that a scheduler that stops can let them end. APScheduler would cancel them."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], tuple[PeriodicJob, float]] = {}
        self._succeeded: dict[str, float] = {}

    def track(self, job: PeriodicJob, call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """Return a function that makes the call as a run of the job.

        A run that fails is logged, and the job runs again in its turn.
        """

        async def run() -> None:
            task = asyncio.current_task()
            if task is not None:
                self._running[task] = (job, time.monotonic())
            try:
                await call()
                self._succeeded[job.name] = time.monotonic()
            except Exception:  # APScheduler would log each one with its traceback
                log.exception("periodic job failed", job=job.name)
            finally:
                if task is not None:
                    del self._running[task]

        return run

    def none_is_stuck(self) -> bool:
        """Return False when a run has taken so long that it will never end, and its job will never run again."""
        now = time.monotonic()
        return all(now - began < max(job.patience, MIN_STUCK).total_seconds() for job, began in self._running.values())

    def since_success(self) -> dict[str, timedelta]:
        """Return how long ago each job last succeeded, without the jobs that never did."""
        now = time.monotonic()
        return {name: timedelta(seconds=now - succeeded) for name, succeeded in self._succeeded.items()}

    async def wait(self, seconds: float) -> None:
        """Wait until all runs have ended, but no longer than this."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
