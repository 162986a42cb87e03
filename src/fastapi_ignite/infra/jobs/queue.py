"""Sending messages through the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import structlog
from dramatiq import Message
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import after_commit
from fastapi_ignite.infra.jobs.brokers import RABBITMQ_HEARTBEAT_SECONDS, JobBroker
from fastapi_ignite.infra.jobs.declarations import Job
from fastapi_ignite.infra.jobs.sender import SenderThread
from fastapi_ignite.infra.jobs.tracing import trace

ANSWER_SECONDS = 2
UNSENT = Counter("ignite_jobs_unsent_total", "Messages that could not be sent; the scheduler finds their rows", ["job"])
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class JobQueue:
    """Sends messages. One that cannot be sent only makes the work later: a periodic job finds its row.

    No call waits longer than two seconds, and none waits at all while an earlier one is still without an answer.
    """

    def __init__(self, broker: JobBroker) -> None:
        self._broker = broker
        self._thread = SenderThread(
            idle=broker.keep_alive, idle_seconds=RABBITMQ_HEARTBEAT_SECONDS / 3, failed=broker.reset
        )
        self._unanswered: Future[Any] | None = None

    def enqueue(self, session: AsyncSession, job: Job, *ids: UUID) -> None:
        """Send a message when the session's transaction has committed; none is sent when it is rolled back.

        The ids are the handler's arguments.
        """
        after_commit(session, self._send_all, _message(job, *ids))

    async def send(self, job: Job) -> bool:
        """Send a message that names no row, now. Never raises; false when the broker did not confirm it in time."""
        return await self._send(_message(job))

    async def _send_all(self, messages: Sequence[Message[None]]) -> None:
        """Stop at the first one that cannot be sent: the broker is away, and the others would only take time."""
        for message in messages:
            if not await self._send(message):
                return

    async def _send(self, message: Message[None]) -> bool:
        try:
            await self._ask(partial(self._hand_over, message))
        except Exception as error:  # noqa: BLE001  whatever the broker raises, the row is already committed
            UNSENT.labels(message.actor_name).inc()
            self._broker.outages.failed(error, unsent_job=message.actor_name)
            return False
        return True

    def _hand_over(self, message: Message[None]) -> None:
        self._broker.declare_queue(message.queue_name)
        self._broker.enqueue(message)
        self._broker.outages.answered()

    async def backlog(self, job: Job) -> int | None:
        """Return how many messages of the job's queue no worker has fetched, or None when the broker does not say."""
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
        """Close the broker's connections, waiting at most two seconds for the thread that uses them."""
        try:
            closing = self._thread.submit(self._broker.close)
            self._thread.stop()
            closing.exception(ANSWER_SECONDS)
        except (TimeoutError, RuntimeError):
            log.debug("the broker's connections are left to the end of the process")


def _message(job: Job, *ids: UUID) -> Message[None]:
    options = {"broker_priority": job.priority.of_message, **trace()}
    return Message(job.queue, job.name, tuple(map(str, ids)), {}, options)
