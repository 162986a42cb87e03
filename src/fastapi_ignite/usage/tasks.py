"""The background work of usage."""

from __future__ import annotations

from datetime import time

from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs import Priority, TaskContext, job, periodic
from fastapi_ignite.infra.retention import remove_older
from fastapi_ignite.usage.repository import release_expired, remove_ended
from fastapi_ignite.usage.rollup import UsageRollUp

REMOVED_AT_A_TIME = 5_000


@job("usage.roll_up", "maintenance", Priority.BULK)
async def roll_up(context: TaskContext) -> None:
    """Sum up the days of usage to months."""
    await UsageRollUp(context.database).run()


@periodic(daily_at=time(0, 20))
async def roll_up_usage(context: TaskContext) -> None:
    """Start adding up the days of usage to months."""
    await context.jobs.send(roll_up)


@periodic(daily_at=time(0, 40))
async def remove_ended_reservations(context: TaskContext) -> None:
    """Remove reservations that ended long ago (`RETENTION_RESERVATION_DAYS`)."""
    days = context.settings.retention.reservation_days
    await remove_older(context.database, remove_ended, days=days, batch=REMOVED_AT_A_TIME)


@periodic(seconds=10)
async def end_expired(context: TaskContext) -> None:
    """Free reserved units of a plan if their process died."""
    async with context.database.system() as session:
        await release_expired(session, now=clock.now())
