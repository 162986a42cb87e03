"""Reserves a part of its tenant's storage for an upload while its body is read."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.sections import UploadSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import StaleAttemptError
from fastapi_ignite.ingestion import storage_statements as statements
from fastapi_ignite.ingestion.errors import (
    StorageFullError,
    TooManyBytesInFlightError,
    TooManyFilesInProgressError,
    UploadExpiredError,
)

# how long a reservation stays when its process dies; a living process extends it every five seconds
LEASE = timedelta(seconds=60)
# A body of unknown length reserves as much again as it has, within these bounds. So it does not ask the database for
# every block, and does not reserve all of the room.
SMALLEST_SLICE_BYTES = 64 * 1024
LARGEST_SLICE_BYTES = 8 * 1024 * 1024
LARGEST_SLICE_FILES = 64
# So much of a declared length may be boundaries and headers, which need no room.
MULTIPART_OVERHEAD_BYTES = 64 * 1024
RETRY_SECONDS = {"held": "5", "files": "30"}
# How long a body waits for room that other uploads hold. The time is random, so that of uploads which wait for each
# other some give up and the rest go on.
PATIENCE_SECONDS = (1.0, 3.0)
PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of bytes and a number of files."""

    byte_count: int
    file_count: int


class _HeldByOthersError(Exception):
    """There would be room if other uploads ended. `refusal` is the error for the caller if they do not."""

    def __init__(self, refusal: IgniteError) -> None:
        super().__init__()
        self.refusal = refusal


class UploadReservation:
    """One upload's part of the tenant's caps on stored bytes, queued files and bytes in flight.

    Its row tells other processes that the upload is alive. No transaction is open while the body is read.
    """

    def __init__(self, database: Database, *, tenant_id: UUID, upload_id: UUID, bounds: UploadSettings) -> None:
        self._database = database
        self._key = {"tenant_id": tenant_id, "id": upload_id}
        self._bounds = bounds
        self._ending = False
        self.held = Amount(0, 0)

    async def begin(self, session: AsyncSession, *, declared_bytes: int | None) -> None:
        """Reserve room for the whole body if its length is declared, or else for its first slice.

        Raises:
            StorageFullError, TooManyFilesInProgressError, TooManyBytesInFlightError: There is no room.
        """
        await statements.ADD_USAGE.execute(session, self._key)
        await statements.ADD_UPLOAD.execute(session, {**self._key, "lease_until": _lease()})
        if declared_bytes is None:
            wanted, needed = SMALLEST_SLICE_BYTES, 1
        else:
            wanted, needed = max(1, declared_bytes), max(1, declared_bytes - MULTIPART_OVERHEAD_BYTES)
        try:
            await self._take(session, Amount(wanted, 1), Amount(needed, 1))
        except _HeldByOthersError as held:
            raise held.refusal from None

    async def hold(self, total: Amount) -> None:
        """Reserve more until so much is reserved in all. Wait a moment if other uploads hold the room.

        Raises:
            StorageFullError, TooManyFilesInProgressError, TooManyBytesInFlightError: There is no room.
            UploadExpiredError: The lease of the upload had ended.
        """
        held = self.held
        needed = Amount(max(0, total.byte_count - held.byte_count), max(0, total.file_count - held.file_count))
        if not needed.byte_count and not needed.file_count:
            return
        more_bytes = min(max(held.byte_count, SMALLEST_SLICE_BYTES), LARGEST_SLICE_BYTES)
        more_files = min(max(held.file_count, 1), LARGEST_SLICE_FILES, self._bounds.max_files)
        wanted = Amount(
            max(needed.byte_count, more_bytes) if needed.byte_count else 0,
            max(needed.file_count, more_files) if needed.file_count else 0,
        )
        clock_now = asyncio.get_running_loop().time
        deadline = clock_now() + random.uniform(*PATIENCE_SECONDS)  # noqa: S311  no secret
        while True:
            try:
                async with self._database.tenant(self._key["tenant_id"]) as session:
                    if not await self._extend(session):
                        raise self._expired()
                    await self._take(session, wanted, needed)
            except _HeldByOthersError as held:
                if clock_now() >= deadline:
                    raise held.refusal from None
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def extend(self) -> None:
        """Extend the lease of the upload.

        Raises:
            StaleAttemptError: The lease had ended.
        """
        async with self._database.tenant(self._key["tenant_id"]) as session:
            if not await self._extend(session) and not self._ending:
                raise StaleAttemptError

    async def settle(self, session: AsyncSession) -> None:
        """Release everything in the transaction that writes the files' rows, which count from then on.

        Raises:
            UploadExpiredError: The lease of the upload had ended; nothing of it may be kept.
        """
        self._ending = True
        if not await self._end(session):
            raise self._expired()

    async def release(self) -> None:
        """Release everything after an upload of which nothing is kept."""
        self._ending = True
        async with self._database.tenant(self._key["tenant_id"]) as session:
            await self._end(session)

    async def _extend(self, session: AsyncSession) -> bool:
        return (await statements.EXTEND.execute(session, {**self._key, "lease_until": _lease()})).first() is not None

    async def _end(self, session: AsyncSession) -> bool:
        return (await statements.END.execute(session, self._key)).first() is not None

    async def _take(self, session: AsyncSession, wanted: Amount, needed: Amount) -> None:
        if await self._reserve(session, wanted) or await self._reserve(session, needed):
            return
        usage = (await statements.USAGE.execute(session, self._key)).one()
        # this attempt runs under the lock of these figures; others may have released room since the ones before
        if not await self._reserve(session, needed):
            raise self._refusal(usage, needed)

    async def _reserve(self, session: AsyncSession, amount: Amount) -> bool:
        bounds = self._bounds
        values = {
            **self._key,
            "bytes": amount.byte_count,
            "files": amount.file_count,
            "max_stored_bytes": bounds.max_stored_bytes,
            "max_in_flight_bytes": bounds.in_flight_bytes,
            "max_queued_files": bounds.max_queued_files,
        }
        if (await statements.RESERVE.execute(session, values)).first() is None:
            return False
        self.held = Amount(self.held.byte_count + amount.byte_count, self.held.file_count + amount.file_count)
        return True

    def _refusal(self, usage: Row[Any], needed: Amount) -> Exception:
        """Return the error of the cap that was reached."""
        bounds, own = self._bounds, self.held
        stored_alone = usage.stored_bytes + own.byte_count + needed.byte_count
        queued_alone = usage.unfinished_files + own.file_count + needed.file_count
        if usage.stored_bytes + usage.reserved_bytes + needed.byte_count > bounds.max_stored_bytes:
            only_held = stored_alone <= bounds.max_stored_bytes
            refusal: IgniteError = StorageFullError(
                "The bytes this tenant stores and has on their way are as many as it may have; remove files with "
                "delete_raw=true. Files that were removed without it are listed by GET .../files?removed=true.",
                headers={"Retry-After": RETRY_SECONDS["held"]} if only_held else None,
                cap=bounds.max_stored_bytes,
                used=usage.stored_bytes,
                reserved=usage.reserved_bytes,
                requested=needed.byte_count,
            )
        elif usage.unfinished_files + usage.reserved_files + needed.file_count > bounds.max_queued_files:
            only_held = queued_alone <= bounds.max_queued_files
            refusal = _too_many_files(usage, bounds)
        else:
            only_held = own.byte_count + needed.byte_count <= bounds.in_flight_bytes
            refusal = TooManyBytesInFlightError(
                f"Uploads of this tenant have {usage.reserved_bytes} bytes on their way, and it may have "
                f"{bounds.in_flight_bytes} at a time. Wait for some of them.",
                headers={"Retry-After": RETRY_SECONDS["held"]},
            )
        return _HeldByOthersError(refusal) if only_held else refusal

    def _expired(self) -> UploadExpiredError:
        return UploadExpiredError(
            "The upload gave no sign of life for too long and was given up; nothing of it was kept. Send it again.",
            headers={"Retry-After": "5"},
        )


def _lease() -> datetime:
    return clock.now() + LEASE


def _too_many_files(usage: Row[Any], bounds: UploadSettings) -> TooManyFilesInProgressError:
    return TooManyFilesInProgressError(
        f"{usage.unfinished_files} files are still in progress and {usage.reserved_files} on their way; "
        f"this tenant may have {bounds.max_queued_files}. Wait for some of them.",
        headers={"Retry-After": RETRY_SECONDS["files"]},
    )


async def require_place_in_queue(session: AsyncSession, tenant_id: UUID, bounds: UploadSettings) -> None:
    """Lock what the tenant has in progress until the transaction ends, and see that one more file may be.

    Raises:
        TooManyFilesInProgressError: The tenant has as many unfinished files as it may.
    """
    usage = (await statements.USAGE.execute(session, {"tenant_id": tenant_id})).one()
    if usage.unfinished_files + usage.reserved_files >= bounds.max_queued_files:
        raise _too_many_files(usage, bounds)


async def end_expired_uploads(session: AsyncSession, *, now: datetime, limit: int = 1000) -> None:
    """Release what uploads reserved whose process died. It needs a system transaction."""
    await session.execute(statements.END_EXPIRED, {"now": now, "limit": limit})
