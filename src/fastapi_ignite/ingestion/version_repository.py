"""Reads and writes versions of files. A version is a row of the files' table with `version_of`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.ingestion.models import GONE, File

# what the bytes of a row take of the tenant's storage, as `File.stored_bytes`
_STORED = case((and_(File.storage_key.is_not(None), File.bytes_missing_at.is_(None)), File.byte_count), else_=0)


@dataclass(frozen=True, slots=True)
class VersionsOfFile:
    """The pending version of a file, or None, and the stored bytes of all its versions but the current one."""

    pending: File | None
    stored_bytes: int


class VersionRepo:
    """The versions of one tenant's files, in the caller's transaction.

    Who changes versions holds the row of their file, which is locked first.
    """

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _of(self, *file_ids: UUID) -> tuple[ColumnElement[bool], ...]:
        return File.tenant_id == self._tenant_id, File.version_of.in_(file_ids)

    async def lock_file(self, file_id: UUID) -> File | None:
        """Lock the file that a version belongs to, and return it unless it is removed."""
        statement = select(File).where(
            File.tenant_id == self._tenant_id, File.id == file_id, File.version_of.is_(None), File.state.not_in(GONE)
        )
        return (await self._session.execute(statement.with_for_update())).scalar_one_or_none()

    async def lock_pending(self, file_id: UUID) -> File | None:
        """Lock the pending version of a file, and return it if there is one."""
        statement = select(File).where(*self._of(file_id), File.state.not_in(GONE)).with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def of_files(self, files: Collection[File]) -> dict[UUID, VersionsOfFile]:
        """Return what there is beside the current version, by the ids of files that ever had a second version."""
        ids = [file.id for file in files if file.latest_version > 1]
        if not ids:
            return {}
        sums = await self._session.execute(
            select(File.version_of, func.sum(_STORED).label("stored")).where(*self._of(*ids)).group_by(File.version_of)
        )
        stored = {row.version_of: int(row.stored) for row in sums}
        pending = await self._session.scalars(select(File).where(*self._of(*ids), File.state.not_in(GONE)))
        by_file = {each.version_of: each for each in pending}
        return {file_id: VersionsOfFile(by_file.get(file_id), stored.get(file_id, 0)) for file_id in ids}

    async def page(self, file: File, *, limit: int, older_than: int | None) -> Sequence[File]:
        """Return the row that holds each version that is or was current, newest first, numbered below `older_than`."""
        statement = (
            select(File)
            .where(
                File.tenant_id == self._tenant_id,
                or_(File.id == file.id, and_(File.version_of == file.id, File.replaced_at.is_not(None))),
            )
            .order_by(File.version.desc())
            .limit(limit)
        )
        if older_than is not None:
            statement = statement.where(File.version < older_than)
        return (await self._session.scalars(statement)).all()

    async def find(self, file: File, number: int) -> File | None:
        """Return the row that holds a version that is or was current, or None."""
        if file.version == number:
            return file
        statement = select(File).where(*self._of(file.id), File.version == number, File.replaced_at.is_not(None))
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def stored(self, file_id: UUID, *, besides_newest: int = 0) -> Sequence[File]:
        """Return and lock earlier versions whose bytes are kept, newest first, without the newest of them."""
        statement = (
            select(File)
            .where(
                *self._of(file_id),
                File.replaced_at.is_not(None),
                File.storage_key.is_not(None),
                File.delete_raw.is_(False),
            )
            .order_by(File.version.desc())
            .offset(besides_newest)
            .with_for_update()
        )
        return (await self._session.scalars(statement)).all()

    async def is_paid(self, file_id: UUID, sha256: bytes) -> bool:
        """Tell whether an earlier version of the file, whose bytes are kept, had these bytes: they were paid for."""
        statement = select(File.id).where(
            *self._of(file_id),
            File.sha256 == sha256,
            File.replaced_at.is_not(None),
            File.storage_key.is_not(None),
            File.delete_raw.is_(False),
        )
        return (await self._session.execute(statement.limit(1))).first() is not None
