"""Sending messages to, and declaring actors on, the Dramatiq broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import structlog
from dramatiq import Actor, Broker, Message
from prometheus_client import Counter

from fastapi_ignite.infra.jobs.brokers import RABBITMQ_HEARTBEAT_SECONDS, JobBroker
from fastapi_ignite.infra.jobs.job import Job
from fastapi_ignite.infra.jobs.sender import SenderThread
from fastapi_ignite.infra.jobs.tracing import JobFailedError, trace

ANSWER_SECONDS = 2
UNSENT = Counter("ignite_jobs_unsent_total", "Messages that could not be sent; the sweeper finds their rows", ["job"])
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


def declare(broker: Broker, job: Job, handler: Callable[..., Awaitable[None]]) -> None:
    """Let workers on `broker` run `handler` for messages of `job`.

    No message of a handler that fails is retried: the sweeper finds the row that it names. `JobContext` says in one
    line what went wrong; Dramatiq would say it again, each time with the traceback.
    """

    async def run(*arguments: str) -> None:
        try:
            await handler(*arguments)
        except Exception as error:
            raise JobFailedError from error

    Actor[[str], None](
        run,
        broker=broker,
        actor_name=job.name,
        queue_name=job.queue,
        priority=job.priority,
        options={"time_limit": job.time_limit, "throws": JobFailedError},
    )


class JobQueue:
    """Sends after the commit. A message that cannot be sent is only slower: its row is found by the sweeper.

    No call waits longer than two seconds, and none waits at all while an earlier one is still without an answer.
    """

    def __init__(self, broker: JobBroker) -> None:
        self._broker = broker
        self._thread = SenderThread(
            idle=broker.keep_alive, idle_seconds=RABBITMQ_HEARTBEAT_SECONDS / 3, failed=broker.reset
        )
        self._unanswered: Future[Any] | None = None

    async def send(self, job: Job, *arguments: str) -> bool:
        """Arguments are ids. Never raises; false when the broker did not confirm it in time."""
        options = {"broker_priority": job.priority.of_message, **trace()}
        message: Message[None] = Message(job.queue, job.name, arguments, {}, options)
        try:
            await self._ask(partial(self._enqueue, job, message))
        except Exception as error:  # noqa: BLE001  whatever the broker raises, the row is already committed
            UNSENT.labels(job.name).inc()
            self._broker.outages.failed(error, unsent_job=job.name)
            return False
        return True

    def _enqueue(self, job: Job, message: Message[None]) -> None:
        self._broker.declare_queue(job.queue)
        self._broker.enqueue(message)
        self._broker.outages.answered()

    async def backlog(self, job: Job) -> int | None:
        """Messages in the job's queue that no worker has fetched yet; null when the broker does not say."""
        try:
            return await self._ask(partial(self._broker.waiting, job.queue))
        except Exception as error:  # noqa: BLE001  the caller learns that nobody knows
            log.debug("backlog unknown", queue=job.queue, error=type(error).__name__)
            return None

    async def _ask(self, call: Callable[[], Result]) -> Result:
        if self._unanswered and not self._unanswered.done():
            raise TimeoutError
        future = self._thread.submit(call)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), ANSWER_SECONDS)
        except TimeoutError:
            if not future.cancelled():
                self._unanswered = future
            raise

    def close(self) -> None:
        """Return the broker's connections; waits a moment for the thread that has them."""
        try:
            closing = self._thread.submit(self._broker.close)
            self._thread.stop()
            closing.exception(ANSWER_SECONDS)
        except (TimeoutError, RuntimeError):
            log.debug("the broker's connections are left to the end of the process")
