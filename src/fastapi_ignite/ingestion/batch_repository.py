"""SQL of files that a worker takes through their stages together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.infra.jobs.leases import LEASE, StaleAttemptError
from fastapi_ignite.ingestion.models import File, FileState

SMALL_FILE_BYTES = 64 * 1024

# The rows of attempts that still hold them. They are locked in the order of their ids, so that no two callers wait
# for each other.
_HELD = """
    SELECT f.id FROM files AS f
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:attempts AS integer[])) AS held (id, attempt)
        ON held.id = f.id AND held.attempt = f.attempt
    WHERE f.tenant_id = :tenant_id AND f.state IN ('queued', 'extracting', 'chunking', 'indexing')
    ORDER BY f.id FOR UPDATE OF f
"""
_HOLD = text(_HELD)
_EXTEND = text(f"""
    UPDATE files SET lease_until = :lease_until
    WHERE tenant_id = :tenant_id AND id IN ({_HELD} SKIP LOCKED)
""")  # noqa: S608  all parts are constants
_RESERVE = text("""
    UPDATE files AS f SET
        state = 'chunking', char_count = held.characters, reservation_id = held.reservation_id, updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:characters AS bigint[]), CAST(:reservations AS uuid[]))
        AS held (id, characters, reservation_id)
    WHERE f.tenant_id = :tenant_id AND f.id = held.id
""")
_COMPLETE = text("""
    UPDATE files AS f SET
        state = 'completed', document_id = held.document_id, lease_until = NULL, completed_at = :now, updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:documents AS uuid[])) AS held (id, document_id)
    WHERE f.tenant_id = :tenant_id AND f.id = held.id
""")


class FileBatchRepo:
    """Files of one tenant, in the caller's transaction. Each statement is for all of them."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def claim_following(self, file: File, *, most: int) -> list[File]:
        """Claim small files of one project that wait for their first attempt, the oldest first.

        Versions of files are not among them: each one locks its file before it takes its place.
        """
        # a sub-query could be run several times, and each time lock the rows after those it has locked before
        waiting = (
            select(File.id)
            .where(
                File.tenant_id == self._tenant_id,
                File.project_id == file.project_id,
                File.state == FileState.QUEUED,
                File.attempt == 0,
                File.version_of.is_(None),
                File.byte_count <= SMALL_FILE_BYTES,
            )
            .order_by(File.id)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte("waiting")
        )
        claimed = await self._session.scalars(
            update(File)
            .where(File.tenant_id == self._tenant_id, File.id == waiting.c.id)
            .values(state=FileState.EXTRACTING, attempt=1, lease_until=clock.now() + LEASE)
            .returning(File)
        )
        return sorted(claimed, key=lambda each: each.id)

    async def hold(self, files: Collection[File]) -> None:
        """Lock the rows until the transaction ends.

        Raises:
            StaleAttemptError: one of the files moved on without its attempt.
        """
        held = await self._session.scalars(_HOLD, self._attempts(files))
        if len(held.all()) != len(files):
            raise StaleAttemptError

    async def extend_leases(self, files: Collection[File]) -> None:
        """Extend the leases of those attempts that still hold theirs, except in rows that are locked."""
        await self._session.execute(_EXTEND, {**self._attempts(files), "lease_until": clock.now() + LEASE})

    async def reserve(self, files: Sequence[File], characters: Sequence[int], reservations: Sequence[UUID]) -> None:
        """Store how many characters each file has, and the reservation that holds them. The caller holds the rows."""
        values = {"characters": characters, "reservations": reservations}
        await self._session.execute(_RESERVE, {**self._ids(files), **values})

    async def complete(self, files: Sequence[File], documents: Sequence[UUID]) -> None:
        """Complete each file with its document. The caller holds the rows."""
        await self._session.execute(_COMPLETE, {**self._ids(files), "documents": documents, "now": clock.now()})

    def _ids(self, files: Collection[File]) -> dict[str, object]:
        return {"tenant_id": self._tenant_id, "ids": [file.id for file in files]}

    def _attempts(self, files: Collection[File]) -> dict[str, object]:
        return {**self._ids(files), "attempts": [file.attempt for file in files]}
