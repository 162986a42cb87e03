"""Sending messages to, and declaring actors on, the Dramatiq broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from dramatiq import Actor, Broker, Message
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AgeLimit, Callbacks, ShutdownNotifications, TimeLimit
from dramatiq.middleware.asyncio import AsyncIO
from prometheus_client import Counter
from redis import Redis

UNSENT = Counter("ignite_jobs_unsent_total", "Messages that could not be sent; the sweeper finds their rows", ["job"])
SOCKET_TIMEOUT_SECONDS = 2
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of work. `priority`: the lower number goes first. `time_limit`: milliseconds."""

    name: str
    queue: str = "default"
    priority: int = 0
    time_limit: int = 600_000


def make_broker(redis_url: str) -> RedisBroker:
    """No retry middleware: a failed attempt is in its row, and the sweeper sends the next message."""
    middleware = [AgeLimit(max_age=3_600_000), TimeLimit(), ShutdownNotifications(), Callbacks(), AsyncIO()]
    client = Redis.from_url(
        redis_url, socket_timeout=SOCKET_TIMEOUT_SECONDS, socket_connect_timeout=SOCKET_TIMEOUT_SECONDS
    )
    return RedisBroker(client=client, middleware=middleware, namespace="ignite-jobs")


def declare(broker: Broker, job: Job, handler: Callable[..., Awaitable[None]]) -> None:
    """Let workers on `broker` run `handler` for messages of `job`."""
    Actor[[str], None](
        handler,
        broker=broker,
        actor_name=job.name,
        queue_name=job.queue,
        priority=job.priority,
        options={"time_limit": job.time_limit},
    )


class JobQueue:
    """Sends after the commit. A message that cannot be sent is only slower: its row is found by the sweeper."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def send(self, job: Job, *arguments: str) -> bool:
        """Arguments are ids. Never raises; false when the broker was away."""
        message: Message[None] = Message(job.queue, job.name, arguments, {}, {})
        try:
            await asyncio.to_thread(self._enqueue, job, message)
        except Exception as error:  # noqa: BLE001  whatever the broker raises, the row is already committed
            UNSENT.labels(job.name).inc()
            log.warning("job message not sent", job=job.name, error=type(error).__name__)
            return False
        return True

    def _enqueue(self, job: Job, message: Message[None]) -> None:
        self._broker.declare_queue(job.queue)
        self._broker.enqueue(message)

    def close(self) -> None:
        """Return the broker's connections."""
        self._broker.close()
