"""A feature declares jobs, which messages start, and periodic jobs, which the clock starts, in `tasks.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import time, timedelta
from enum import IntEnum
from typing import TypeAlias

from fastapi_ignite.infra.jobs.context import TaskContext

Handler: TypeAlias = Callable[..., Awaitable[None]]
PeriodicFunction: TypeAlias = Callable[[TaskContext], Awaitable[object]]

# A periodic job that has not succeeded for three intervals is overdue, but none is before a minute.
PATIENCE_INTERVALS, MIN_PATIENCE = 3, timedelta(minutes=1)


class Priority(IntEnum):
    """The lower number goes first, as in Dramatiq's worker; RabbitMQ counts the other way."""

    INTERACTIVE = 0
    BACKGROUND = 1
    BULK = 2

    @property
    def of_message(self) -> int:
        """The same priority as RabbitMQ counts it."""
        return max(Priority) - self


def _first_line(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of work that a worker does when it gets a message.

    The handler takes the worker's context and the message's ids. `time_limit` counts milliseconds. A worker process
    runs a job that is `serial` once at a time.
    """

    name: str
    queue: str
    priority: Priority
    handler: Handler
    time_limit: int = 600_000
    serial: bool = False

    @property
    def purpose(self) -> str:
        """The first line of the handler's docstring."""
        return _first_line(self.handler)


def job(
    name: str, queue: str, priority: Priority, *, time_limit: int = 600_000, serial: bool = False
) -> Callable[[Handler], Job]:
    """Make the decorated function the handler of a job, whose name is part of each message."""
    return lambda handler: Job(name, queue, priority, handler, time_limit, serial)


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """A function that the scheduler calls when it starts, and then at an interval or at a time of the day (UTC)."""

    name: str
    run: PeriodicFunction
    every: timedelta
    daily_at: time | None = None

    @property
    def interval(self) -> str:
        """The interval in words."""
        return f"daily, {self.daily_at:%H:%M}" if self.daily_at else f"{self.every.total_seconds():.0f} s"

    @property
    def purpose(self) -> str:
        """The first line of the function's docstring."""
        return _first_line(self.run)

    @property
    def patience(self) -> timedelta:
        """Return how long after a success the next one has to come."""
        return max(PATIENCE_INTERVALS * self.every, MIN_PATIENCE)


def periodic(*, seconds: int = 86_400, daily_at: time | None = None) -> Callable[[PeriodicFunction], PeriodicJob]:
    """Make the decorated function a periodic job of the same name."""
    return lambda function: PeriodicJob(function.__name__, function, timedelta(seconds=seconds), daily_at)
