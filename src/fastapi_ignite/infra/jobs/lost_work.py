"""Telling workers again of rows whose message or worker was lost."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from sqlalchemy import ColumnElement

from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs.context import TaskContext
from fastapi_ignite.infra.jobs.declarations import Job
from fastapi_ignite.infra.jobs.leases import Leased, claim_stalled

log = structlog.get_logger(__name__)


async def resend_lost(
    context: TaskContext, model: type[Leased], jobs: Mapping[str, Job], *, only: ColumnElement[bool] | None = None
) -> int:
    """Send a message for each row that nobody works on, and return how many rows there were.

    `jobs` names the job of each unfinished state; all of them have the same queue. `only` is a condition on the rows.
    Where the broker is away, the rows are lost again, and found again.
    """
    queue_empty = not await context.jobs.backlog(next(iter(jobs.values())))  # unknown counts as empty
    async with context.database.system() as session:
        lost = await claim_stalled(session, model, tuple(jobs), now=clock.now(), queue_empty=queue_empty, only=only)
        for row in lost:
            context.jobs.enqueue(session, jobs[row.state], row.tenant_id, row.id)
    if lost:
        log.info("lost work found", count=len(lost))
    return len(lost)
