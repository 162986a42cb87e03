"""Record when each periodic job last succeeded, and when it must succeed again.

PostgreSQL stores this, with its own clock, because the jobs that find lost work must be watched while Redis is away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base

SchedulerState = Literal["ok", "missing", "hung"]


class PeriodicRun(Base):
    """A periodic job that a scheduler runs. The table belongs to no tenant."""

    __tablename__ = "periodic_runs"

    job: Mapped[str] = mapped_column(primary_key=True)
    succeeded_at: Mapped[datetime | None]
    due_by: Mapped[datetime]


async def expect_runs(session: AsyncSession, patience: Mapping[str, timedelta]) -> None:
    """Register the jobs of a starting scheduler. Unknown jobs are removed; overdue ones stay so until they succeed.

    `patience` is for each job the longest time between two successes.
    """
    await session.execute(delete(PeriodicRun).where(PeriodicRun.job.not_in(patience)))
    for job, within in patience.items():
        row = insert(PeriodicRun).values(job=job, due_by=func.now() + within)
        await session.execute(row.on_conflict_do_nothing())


async def record_successes(
    session: AsyncSession, ages: Mapping[str, timedelta], patience: Mapping[str, timedelta]
) -> None:
    """Record successes. `ages` is how long ago each job succeeded. With several schedulers the latest counts."""
    for job, age in sorted(ages.items()):
        row = insert(PeriodicRun).values(
            job=job, succeeded_at=func.now() - age, due_by=func.now() - age + patience[job]
        )
        later = {
            column: func.greatest(getattr(PeriodicRun, column), row.excluded[column])
            for column in ("succeeded_at", "due_by")
        }
        await session.execute(row.on_conflict_do_update(index_elements=[PeriodicRun.job], set_=later))


async def forget_runs(session: AsyncSession, jobs: Collection[str]) -> None:
    """Remove the jobs of a scheduler that stops normally. Another one that still runs adds its own within seconds."""
    await session.execute(delete(PeriodicRun).where(PeriodicRun.job.in_(jobs)))


async def scheduler_state(session: AsyncSession) -> SchedulerState:
    """Return `missing` if no scheduler runs, `hung` if a job did not succeed in time, else `ok`."""
    jobs, overdue = (
        await session.execute(
            select(func.count(), func.count().filter(PeriodicRun.due_by < func.now())).select_from(PeriodicRun)
        )
    ).one()
    if not jobs:
        return "missing"
    return "hung" if overdue else "ok"
