"""The signs of life of a worker process. They come while the process is able to take jobs."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future

import structlog
from dramatiq import Broker
from dramatiq import Worker as DramatiqWorker
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fastapi_ignite.infra.heartbeat import beating
from fastapi_ignite.infra.jobs.brokers import JobBroker
from fastapi_ignite.infra.worker_presence import TELL_SECONDS, announce_worker

# A consumer that lost its broker tries again every three seconds, so one that works polls more often than this.
CONSUMER_SECONDS = 60
REDIS_TIMEOUT_SECONDS = 2
log = structlog.get_logger(__name__)


class WorkerHeartbeat(Middleware):
    """Beats on the event loop that runs the jobs, and only while each thread that fetches messages polls its queue.

    A worker whose threads are all busy beats too: long jobs end by their time limit.
    """

    def __init__(self, broker: JobBroker, redis_url: str) -> None:
        self._broker = broker
        self._redis_url = redis_url
        self._beating: Future[None] | None = None

    def after_worker_boot(self, broker: Broker, worker: DramatiqWorker) -> None:  # noqa: ARG002  Dramatiq's signature
        """Begin to beat. The middleware AsyncIO has started the event loop before."""
        thread = get_event_loop_thread()
        if thread is None:
            raise RuntimeError("the broker has no AsyncIO middleware")
        self._beating = asyncio.run_coroutine_threadsafe(self._beat(), thread.loop)

    def before_worker_shutdown(self, broker: Broker, worker: DramatiqWorker) -> None:  # noqa: ARG002  the same
        """Stop beating; from here on the supervisor waits as long as for any process that stops."""
        if self._beating:
            self._beating.cancel()

    async def _beat(self) -> None:
        async with (
            beating(self._consumers_poll),
            Redis.from_url(
                self._redis_url,
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
                client_name="ignite-worker-heartbeat",
            ) as redis,
        ):
            while True:
                if self._consumers_poll():
                    await _announce(redis)
                await asyncio.sleep(TELL_SECONDS)

    def _consumers_poll(self) -> bool:
        now = time.monotonic()
        return all(now - polled < CONSUMER_SECONDS for polled in self._broker.last_polls.values())


async def _announce(redis: Redis) -> None:
    try:
        await announce_worker(redis)
    except (RedisError, OSError) as error:
        log.debug("the worker could not be announced", error=type(error).__name__)
