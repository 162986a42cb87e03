"""The Dramatiq actors of a worker process."""

from __future__ import annotations

from uuid import UUID

from dramatiq import Actor, Broker

from fastapi_ignite.infra.jobs.context import TaskContext
from fastapi_ignite.infra.jobs.declarations import Job
from fastapi_ignite.infra.jobs.serial_runner import SerialRunner
from fastapi_ignite.infra.jobs.tracing import JobFailedError


def declare(broker: Broker, job: Job, context: TaskContext) -> None:
    """Let the workers on `broker` call the job's handler for its messages.

    No message of a handler that fails is sent again: a periodic job finds the row that it names. `JobLogging` writes
    one line about the failure; Dramatiq would write it again, each time with the traceback.
    """
    handler = SerialRunner(job.handler).run if job.serial else job.handler

    async def run(*ids: str) -> None:
        try:
            await handler(context, *map(UUID, ids))
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
