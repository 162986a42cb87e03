"""SQL of files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.infra.jobs.leases import LeasedRepo, StaleAttemptError
from fastapi_ignite.ingestion.models import GONE, SEARCHABLE, UNFINISHED, File, FileState
from fastapi_ignite.rag.documents.matching import FILE_MATCHES
from fastapi_ignite.rag.engine import AttributeCondition

# versions of a file are rows too, and callers see them by their file only
_IS_FILE = File.version_of.is_(None)
# removed files whose bytes stay until somebody removes them too
_KEPT_RAW = (_IS_FILE, File.state.in_(GONE), File.storage_key.is_not(None), File.delete_raw.is_(False))
_NAMES_SQL = """
SELECT DISTINCT ON (document_id) document_id, id, filename, version FROM files
WHERE tenant_id = :tenant_id AND document_id = ANY(CAST(:document_ids AS uuid[])) AND state = 'completed'
    AND {condition}
ORDER BY document_id, id
"""
_NAMES = FixedStatement(_NAMES_SQL.format(condition="true"))
_NAMES_WITHIN = FixedStatement(_NAMES_SQL.format(condition=FILE_MATCHES))
# id, name and version of a file, by its document
FileNames: TypeAlias = dict[UUID, tuple[UUID, str, int]]


class FileRepo(LeasedRepo[File]):
    """The files of one tenant."""

    model = File
    unfinished = UNFINISHED

    async def add_all(self, files: Sequence[File]) -> None:
        self.session.add_all(files)
        await self.session.flush()

    async def get(self, project_id: UUID, file_id: UUID, *, lock: bool = False) -> File | None:
        """Return the file unless it is removed."""
        statement = select(File).where(
            File.tenant_id == self._tenant_id,
            File.project_id == project_id,
            File.id == file_id,
            File.state.not_in(GONE),
            _IS_FILE,
        )
        return (await self.session.execute(statement.with_for_update() if lock else statement)).scalar_one_or_none()

    async def find(self, file_id: UUID) -> File | None:
        """Return the file in any state."""
        return await self.session.get(File, (self._tenant_id, file_id))

    async def get_kept_raw(self, project_id: UUID, file_id: UUID) -> File | None:
        """Return and lock a removed file whose bytes were kept."""
        statement = select(File).where(
            File.tenant_id == self._tenant_id, File.project_id == project_id, File.id == file_id, *_KEPT_RAW
        )
        return (await self.session.execute(statement.with_for_update())).scalar_one_or_none()

    async def being_removed(self, file_id: UUID) -> File | None:
        """Return the file if a worker has to remove what it left."""
        statement = select(File).where(
            File.tenant_id == self._tenant_id, File.id == file_id, File.state == FileState.DELETING
        )
        return (await self.session.execute(statement)).scalar_one_or_none()

    async def set_removed(self, file: File, *, now: datetime) -> None:
        """End the removal of the file.

        Raises:
            StaleAttemptError: more is to be removed by now, or the file's project is deleted.
        """
        removed = await self.session.execute(
            update(File)
            .where(
                File.tenant_id == self._tenant_id,
                File.id == file.id,
                File.state == FileState.DELETING,
                File.delete_raw == file.delete_raw,
            )
            .values(
                state=FileState.DELETED,
                deleted_at=now,
                lease_until=None,
                last_error=None,
                storage_key=None if file.delete_raw else File.storage_key,
            )
            .returning(File.id)
        )
        if removed.first() is None:
            raise StaleAttemptError

    async def batch(self, batch_id: UUID) -> Sequence[File]:
        """Return the files of one upload, in order."""
        statement = select(File).where(File.tenant_id == self._tenant_id, File.batch_id == batch_id).order_by(File.id)
        return (await self.session.scalars(statement)).all()

    async def batch_page(self, project_id: UUID, batch_id: UUID, *, limit: int, after: UUID | None) -> Sequence[File]:
        """Return files of one upload that are not removed, in order."""
        statement = select(File).where(*self._in_batch(project_id, batch_id), File.state.not_in(GONE)).order_by(File.id)
        if after is not None:
            statement = statement.where(File.id > after)
        return (await self.session.scalars(statement.limit(limit))).all()

    async def batch_states(self, project_id: UUID, batch_id: UUID) -> dict[str, int]:
        """Return the number of files of one upload in each state. It is empty for an unknown upload."""
        statement = (
            select(File.state, func.count().label("files"))
            .where(*self._in_batch(project_id, batch_id))
            .group_by(File.state)
        )
        return {row.state: row.files for row in await self.session.execute(statement)}

    async def lock_unfinished(self, project_id: UUID, batch_id: UUID, *, limit: int) -> Sequence[File]:
        """Return and lock unfinished files of one upload. Each is locked in the order of ids."""
        statement = (
            select(File)
            .where(*self._in_batch(project_id, batch_id), File.state.in_(UNFINISHED))
            .order_by(File.id)
            .limit(limit)
            .with_for_update()
        )
        return (await self.session.scalars(statement)).all()

    def _in_batch(self, project_id: UUID, batch_id: UUID) -> tuple[ColumnElement[bool], ...]:
        return File.tenant_id == self._tenant_id, File.project_id == project_id, File.batch_id == batch_id, _IS_FILE

    async def any_unfinished(self, batch_id: UUID) -> bool:
        """Tell whether a file of the upload is still in progress."""
        statement = select(File.id).where(
            File.tenant_id == self._tenant_id, File.batch_id == batch_id, File.state.in_(UNFINISHED)
        )
        return (await self.session.execute(statement.limit(1))).first() is not None

    async def page(self, project_id: UUID, *, limit: int, after: UUID | None, removed: bool) -> Sequence[File]:
        """Return files ordered by id, which is the order of upload; or the removed ones whose bytes were kept."""
        wanted = _KEPT_RAW if removed else (File.state.not_in(GONE), _IS_FILE)
        statement = (
            select(File)
            .where(File.tenant_id == self._tenant_id, File.project_id == project_id, *wanted)
            .order_by(File.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(File.id > after)
        return (await self.session.scalars(statement)).all()

    async def any_as_small(self, project_id: UUID, *, byte_count: int | None) -> bool:
        """Tell whether the project has a file of at most so many bytes that is or will be searchable."""
        statement = select(File.id).where(
            File.tenant_id == self._tenant_id, File.project_id == project_id, File.state.in_(SEARCHABLE)
        )
        if byte_count is not None:
            statement = statement.where(File.byte_count <= byte_count)
        return (await self.session.execute(statement.limit(1))).first() is not None

    async def any_equal(self, project_id: UUID, hashes: Collection[bytes]) -> bool:
        """Tell whether the project has a file with one of these hashes that is or will be searchable."""
        statement = select(File.id).where(
            File.tenant_id == self._tenant_id,
            File.project_id == project_id,
            File.sha256.in_(hashes),
            File.state.in_(SEARCHABLE),
        )
        return (await self.session.execute(statement.limit(1))).first() is not None

    async def others_share(self, document_id: UUID, *, besides: UUID) -> bool:
        """Tell whether another file that is not removed has the same document."""
        statement = select(File.id).where(
            File.tenant_id == self._tenant_id,
            File.document_id == document_id,
            File.id != besides,
            File.state.not_in(GONE),
        )
        return (await self.session.execute(statement.limit(1))).first() is not None

    async def equal_bytes_in_progress(self, file: File) -> bool:
        """Tell whether another unfinished file of the project with the same bytes holds characters."""
        statement = select(File.id).where(
            File.tenant_id == self._tenant_id,
            File.project_id == file.project_id,
            File.sha256 == file.sha256,
            File.id != file.id,
            File.state.in_(UNFINISHED),
            File.reservation_id.is_not(None),
        )
        return (await self.session.execute(statement.limit(1))).first() is not None

    async def left_behind(self, file: File, states: Collection[FileState]) -> bool:
        """Tell whether the file has one of the states and no unfinished file of its project has equal bytes."""
        twin = aliased(File)
        wanted = (
            select(twin.id)
            .where(
                twin.tenant_id == self._tenant_id,
                twin.project_id == file.project_id,
                twin.sha256 == file.sha256,
                twin.state.in_(UNFINISHED),
            )
            .exists()
        )
        statement = select(File.id).where(
            File.tenant_id == self._tenant_id, File.id == file.id, File.state.in_(states), ~wanted
        )
        return (await self.session.execute(statement)).first() is not None

    async def names(self, document_ids: Collection[UUID], *, within: AttributeCondition | None = None) -> FileNames:
        """Return id, name and version of the oldest completed file of each document.

        With a condition, it is the oldest of those that meet it.
        """
        statement, values = _names_query(self._tenant_id, document_ids, within)
        return _names((await statement.execute(self.session, values)).all())

    async def stage(self, file_id: UUID) -> str:
        """Return the state of the file."""
        statement = select(File.state).where(File.tenant_id == self._tenant_id, File.id == file_id)
        return (await self.session.execute(statement)).scalar_one()

    async def reservation(self, file_id: UUID) -> UUID | None:
        """Return the reservation of the file's characters."""
        statement = select(File.reservation_id).where(File.tenant_id == self._tenant_id, File.id == file_id)
        return (await self.session.execute(statement)).scalar_one()


async def read_names(
    database: Database, tenant_id: UUID, document_ids: Collection[UUID], *, within: AttributeCondition | None = None
) -> FileNames:
    """Return the same as `FileRepo.names`, by one query in a transaction of its own."""
    return _names(await database.read(tenant_id, *_names_query(tenant_id, document_ids, within)))


def _names_query(
    tenant_id: UUID, document_ids: Collection[UUID], within: AttributeCondition | None
) -> tuple[FixedStatement, dict[str, Any]]:
    values = {"tenant_id": tenant_id, "document_ids": document_ids}
    if within is None:
        return _NAMES, values
    return _NAMES_WITHIN, {**values, **within.parameters}


def _names(rows: Sequence[Row[Any]]) -> FileNames:
    return {row.document_id: (row.id, row.filename, row.version) for row in rows}


@dataclass(frozen=True, slots=True)
class TenantTurn:
    """A worker process counts a tenant's files in progress there, and numbers its last turn (larger is later)."""

    tenant_id: UUID
    running: int
    served: int


_NEXT_WAITING = text("""
SELECT waiting.tenant_id, oldest.id
FROM storage_usage waiting
LEFT JOIN unnest(CAST(:tenants AS uuid[]), CAST(:running AS bigint[]), CAST(:served AS bigint[]))
    AS turn (tenant_id, running, served) ON turn.tenant_id = waiting.tenant_id
CROSS JOIN LATERAL (
    SELECT id FROM files
    WHERE files.tenant_id = waiting.tenant_id
        AND state IN ('queued', 'extracting', 'chunking', 'indexing') AND (lease_until IS NULL OR lease_until <= :now)
    ORDER BY id LIMIT 1
) oldest
WHERE waiting.unfinished_files > 0 AND coalesce(turn.running, 0) < :share
ORDER BY coalesce(turn.running, 0), coalesce(turn.served, 0), oldest.id
LIMIT 1
""")


async def next_waiting(session: AsyncSession, turns: Sequence[TenantTurn], *, share: int) -> tuple[UUID, UUID] | None:
    """Return tenant and id of the file to process next, or None. It needs a system transaction.

    Tenants that have `share` files in progress are left out. A tenant without a turn counts as having none.
    """
    values = {
        "tenants": [turn.tenant_id for turn in turns],
        "running": [turn.running for turn in turns],
        "served": [turn.served for turn in turns],
        "share": share,
        "now": clock.now(),
    }
    row = (await session.execute(_NEXT_WAITING, values)).first()
    return (row.tenant_id, row.id) if row else None
