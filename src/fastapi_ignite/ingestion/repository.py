"""SQL of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.ingestion.errors import StaleAttemptError
from fastapi_ignite.ingestion.models import GONE, UNFINISHED, File, FileState

LEASE = timedelta(seconds=30)
SILENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """What a tenant keeps the system busy with."""

    unfinished_files: int
    stored_bytes: int


class FileRepo:
    """The files of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self.session = session
        self._tenant_id = tenant_id

    async def add_all(self, files: Sequence[File]) -> None:
        """Insert."""
        self.session.add_all(files)
        await self.session.flush()

    async def get(self, project_id: UUID, file_id: UUID, *, lock: bool = False) -> File | None:
        """A file that is not removed."""
        statement = select(File).where(
            File.tenant_id == self._tenant_id,
            File.project_id == project_id,
            File.id == file_id,
            File.state.not_in(GONE),
        )
        return (await self.session.execute(statement.with_for_update() if lock else statement)).scalar_one_or_none()

    async def batch(self, batch_id: UUID) -> Sequence[File]:
        """The files of one upload, in order."""
        statement = select(File).where(File.tenant_id == self._tenant_id, File.batch_id == batch_id).order_by(File.id)
        return (await self.session.scalars(statement)).all()

    async def page(self, project_id: UUID, *, limit: int, after: UUID | None) -> Sequence[File]:
        """Files by id, which is by time of upload."""
        statement = (
            select(File)
            .where(File.tenant_id == self._tenant_id, File.project_id == project_id, File.state.not_in(GONE))
            .order_by(File.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(File.id > after)
        return (await self.session.scalars(statement)).all()

    async def load(self) -> TenantLoad:
        """Files in progress and bytes in storage."""
        row = (
            await self.session.execute(
                select(
                    func.count().filter(File.state.in_(UNFINISHED)),
                    func.coalesce(func.sum(File.byte_count).filter(File.storage_key.is_not(None)), 0),
                ).where(File.tenant_id == self._tenant_id)
            )
        ).one()
        return TenantLoad(unfinished_files=row[0], stored_bytes=int(row[1]))

    async def others_share(self, document_id: UUID, *, besides: UUID) -> bool:
        """Whether another live file is made of the same document."""
        statement = select(File.id).where(
            File.tenant_id == self._tenant_id,
            File.document_id == document_id,
            File.id != besides,
            File.state.not_in(GONE),
        )
        return (await self.session.execute(statement.limit(1))).first() is not None

    async def names(self, document_ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, str]]:
        """The oldest live file of each document: its id and name."""
        statement = (
            select(File.document_id, File.id, File.filename)
            .ext(distinct_on(File.document_id))
            .where(
                File.tenant_id == self._tenant_id,
                File.document_id.in_(document_ids),
                File.state == FileState.COMPLETED,
            )
            .order_by(File.document_id, File.id)
        )
        return {row.document_id: (row.id, row.filename) for row in await self.session.execute(statement)}

    async def claim(self, file_id: UUID, *, states: Sequence[FileState], state: FileState) -> File | None:
        """Begin the next attempt, unless another worker holds the lease or there is nothing to do."""
        now = clock.now()
        return (
            await self.session.execute(
                update(File)
                .where(
                    File.tenant_id == self._tenant_id,
                    File.id == file_id,
                    File.state.in_(states),
                    or_(File.lease_until.is_(None), File.lease_until <= now),
                )
                .values(state=state, attempt=File.attempt + 1, lease_until=now + LEASE)
                .returning(File)
            )
        ).scalar_one_or_none()

    async def advance(self, file_id: UUID, attempt: int, **values: Any) -> None:
        """A worker's write.

        Raises:
            StaleAttemptError: the file moved on without this attempt.
        """
        result = await self.session.execute(
            update(File)
            .where(
                File.tenant_id == self._tenant_id,
                File.id == file_id,
                File.attempt == attempt,
                File.state.in_((*UNFINISHED, FileState.DELETING)),
            )
            .values(**values)
        )
        if not isinstance(result, CursorResult) or result.rowcount != 1:
            raise StaleAttemptError

    async def stage(self, file_id: UUID) -> str:
        """The state the file is in."""
        statement = select(File.state).where(File.tenant_id == self._tenant_id, File.id == file_id)
        return (await self.session.execute(statement)).scalar_one()

    async def extend_lease(self, file_id: UUID, attempt: int) -> None:
        """The worker lives."""
        await self.advance(file_id, attempt, lease_until=clock.now() + LEASE)


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file nobody works on."""

    tenant_id: UUID
    id: UUID
    state: str


async def take_lost(session: AsyncSession, *, now: datetime, limit: int = 500) -> list[LostFile]:
    """Files whose worker died or whose message was lost; each is handed out at most once in `SILENCE`.

    Needs a system transaction.
    """
    lost = (
        select(File.tenant_id, File.id)
        .where(
            File.state.in_((*UNFINISHED, FileState.DELETING)),
            or_(File.lease_until.is_(None), File.lease_until <= now),
            File.notified_at <= now - SILENCE,
        )
        .order_by(File.notified_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("lost")
    )
    rows = await session.execute(
        update(File)
        .where(File.tenant_id == lost.c.tenant_id, File.id == lost.c.id)
        .values(notified_at=now)
        .returning(File.tenant_id, File.id, File.state)
    )
    return [LostFile(row.tenant_id, row.id, row.state) for row in rows]
