"""The periodic job of query."""

from __future__ import annotations

from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs import TaskContext, periodic
from fastapi_ignite.query.models import RESERVATION_LIFETIME
from fastapi_ignite.query.repository import fail_abandoned


@periodic(seconds=10)
async def fail_abandoned_questions(context: TaskContext) -> None:
    """Mark questions as failed if their process died."""
    async with context.database.system() as session:
        await fail_abandoned(session, before=clock.now() - RESERVATION_LIFETIME)
