"""Rows that are jobs: a state, an attempt number, and a lease that a living worker extends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, CursorResult, and_, or_, select, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import TenantScoped

LEASE = timedelta(seconds=15)
MAX_ATTEMPTS = 5
FIRST_RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=2)

SILENCE = timedelta(seconds=30)
RESEND = timedelta(seconds=5)
OVERDUE = timedelta(minutes=10)
log = structlog.get_logger(__name__)


class StaleAttemptError(Exception):
    """Another worker, a cancellation or a deletion took the row over, so this attempt may change nothing more."""


class Leased(TenantScoped):
    """The columns of a row that is a job.

    `attempt` fences writers: a worker's every write names the attempt that it holds, and a stale one changes nothing.
    `notified_at` is when a message about the row was last sent.
    """

    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[datetime | None]
    last_error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    notified_at: Mapped[datetime]


Row = TypeVar("Row", bound=Leased)


class LeasedRepo(Generic[Row]):
    """Reads and writes the rows of one tenant. A subclass names its model and the states in which there is work."""

    model: type[Row]
    unfinished: Sequence[str]

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self.session = session
        self._tenant_id = tenant_id

    async def claim(self, row_id: UUID, *, states: Sequence[str], state: str) -> Row | None:
        """Begin the next attempt and return the row, or None when another worker holds its lease or no work is left."""
        now = clock.now()
        model = self.model
        return (
            await self.session.execute(
                update(model)
                .where(
                    model.tenant_id == self._tenant_id,
                    model.id == row_id,
                    model.state.in_(states),
                    or_(model.lease_until.is_(None), model.lease_until <= now),
                )
                .values(state=state, attempt=model.attempt + 1, lease_until=now + LEASE)
                .returning(model)
            )
        ).scalar_one_or_none()

    async def advance(self, row_id: UUID, attempt: int, **values: Any) -> None:
        """Write values of the attempt's worker.

        Raises:
            StaleAttemptError: the row moved on without this attempt.
        """
        model = self.model
        result = await self.session.execute(
            update(model)
            .where(
                model.tenant_id == self._tenant_id,
                model.id == row_id,
                model.attempt == attempt,
                model.state.in_(self.unfinished),
            )
            .values(**values)
        )
        if not isinstance(result, CursorResult) or result.rowcount != 1:
            raise StaleAttemptError

    async def extend_lease(self, row_id: UUID, attempt: int) -> None:
        """Extend the lease. It does not wait for the attempt's own last transaction, which may have ended the row.

        Raises:
            StaleAttemptError: the row moved on without this attempt.
        """
        model = self.model
        row = (model.tenant_id == self._tenant_id, model.id == row_id)
        held = (*row, model.attempt == attempt, model.state.in_(self.unfinished))
        unlocked = select(model.id).where(*held).with_for_update(skip_locked=True)
        extended = await self.session.execute(
            update(model)
            .where(*row, model.id.in_(unlocked))
            .values(lease_until=clock.now() + LEASE)
            .returning(model.id)
        )
        if extended.first() is not None:
            return
        if await self.session.scalar(select(model.attempt).where(*row)) != attempt:
            raise StaleAttemptError


def next_try(attempt: int, *, at_least: timedelta = timedelta()) -> datetime:
    """Return when the row may be claimed again after this attempt failed.

    Each pause is twice the one before, up to a limit. A provider may have asked for a pause of `at_least`.
    """
    doublings = min(max(attempt - 1, 0), 16)  # beyond, the limit holds anyway
    return clock.now() + max(min(FIRST_RETRY * (1 << doublings), LONGEST_RETRY), at_least)


@asynccontextmanager
async def keep_lease(extend: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Extend the lease while the block runs, and end the block when the lease is lost.

    Raises:
        StaleAttemptError: the row moved on without this attempt.
    """
    work = asyncio.current_task()
    overtaken = asyncio.Event()

    async def beat() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            try:
                await extend()
            except StaleAttemptError:
                overtaken.set()
                if work:
                    work.cancel()
                return
            except Exception as error:  # noqa: BLE001  the database is away: the lease may yet hold
                log.warning("lease not extended", error=type(error).__name__)

    beating = asyncio.create_task(beat())
    try:
        yield
        if overtaken.is_set():
            await asyncio.sleep(0)  # a transaction may have put the cancellation off: it must reach this block
    except asyncio.CancelledError:
        if work is None or not overtaken.is_set():
            raise
        work.uncancel()
        raise StaleAttemptError from None
    finally:
        beating.cancel()


@dataclass(frozen=True, slots=True)
class StalledJob:
    """A row that nobody works on."""

    tenant_id: UUID
    id: UUID
    state: str


async def claim_stalled(
    session: AsyncSession,
    model: type[Leased],
    states: Sequence[str],
    *,
    now: datetime,
    queue_empty: bool,
    only: ColumnElement[bool] | None = None,
    limit: int = 500,
) -> list[StalledJob]:
    """Return rows that need a message, and note that they got one. The transaction must be of the system role.

    `only` is a condition on the rows.

    A row whose lease is over is returned at once. Of other rows, and of those that were never claimed, a message may
    still wait in the queue: while the queue holds any, such a row is returned only when it is long overdue.
    """
    silence, resend = (SILENCE, RESEND) if queue_empty else (OVERDUE, OVERDUE)
    lost = (
        select(model.tenant_id, model.id)
        .where(
            model.state.in_(states),
            true() if only is None else only,
            or_(
                and_(
                    model.lease_until <= now,
                    or_(model.notified_at < model.lease_until, model.notified_at <= now - resend),
                ),
                and_(model.lease_until.is_(None), model.notified_at <= now - silence),
            ),
        )
        .order_by(model.notified_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("lost")
    )
    rows = await session.execute(
        update(model)
        .where(model.tenant_id == lost.c.tenant_id, model.id == lost.c.id)
        .values(notified_at=now)
        .returning(model.tenant_id, model.id, model.state)
    )
    return [StalledJob(row.tenant_id, row.id, row.state) for row in rows]
