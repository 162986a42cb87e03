"""An upload in progress: what it reserves, and its objects in storage until rows name them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.sections import UploadSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import StaleAttemptError, keep_lease
from fastapi_ignite.infra.storage import ReceivedFile, Storage, StoredObject, UploadWriter
from fastapi_ignite.ingestion.errors import UploadExpiredError
from fastapi_ignite.ingestion.object_keys import upload_prefix
from fastapi_ignite.ingestion.upload_reservation import Amount, UploadReservation

log = structlog.get_logger(__name__)


class IncomingUpload:
    """Stores the files of one request. The id of the upload becomes the id of the batch of its files.

    `refusal` is the error that the upload ends with, unless its body shows that it may be accepted. With no character
    left, files are accepted that the project has already. With no room, a repetition of an accepted upload is answered.
    `has_index` says that the project had an index when the upload began.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        *,
        tenant_id: UUID,
        project_id: UUID,
        bounds: UploadSettings,
    ) -> None:
        self.id = new_id()
        self.project_id = project_id
        self.refusal: IgniteError | None = None
        self.stores = True
        self.has_index = False
        self.reservation = UploadReservation(database, tenant_id=tenant_id, upload_id=self.id, bounds=bounds)
        self._storage = storage
        self._prefix = upload_prefix(tenant_id, project_id, self.id)
        self._byte_count = 0
        self._file_count = 0

    async def begin_file(self) -> UploadWriter:
        """Return a writer for the next file, after reserving its place in the queue."""
        if not self.stores:
            return _Comparing()
        self._file_count += 1
        await self.reservation.hold(self._total)
        return await self._storage.writer(f"{self._prefix}{new_id()}")

    async def make_room(self, byte_count: int) -> None:
        """Reserve room for so many more bytes."""
        if not self.stores:
            return
        self._byte_count += byte_count
        await self.reservation.hold(self._total)

    @property
    def _total(self) -> Amount:
        return Amount(self._byte_count, self._file_count)

    @asynccontextmanager
    async def kept_alive(self) -> AsyncGenerator[None]:
        """Extend the lease of the upload while the block runs.

        Raises:
            UploadExpiredError: The lease ended while the database was away.
        """
        try:
            async with keep_lease(self.reservation.extend):
                yield
        except StaleAttemptError:
            raise UploadExpiredError(headers={"Retry-After": "5"}) from None

    async def settle(self, session: AsyncSession) -> None:
        """End the reservation in the transaction that writes the files' rows."""
        await self.reservation.settle(session)

    async def undo(self, received: Sequence[ReceivedFile]) -> None:
        """Remove the stored files and release the reservation. Call it only when no row names the files.

        It never raises: the sweep of the storage finds files that stay behind, and the reservation expires.
        """
        try:
            for file in received if self.stores else ():
                await self._storage.delete(file.stored.key)
            await self.reservation.release()
        except Exception as error:  # noqa: BLE001  the caller is told of the first error, whatever follows
            log.warning("an upload was not cleared away; the sweep will", error=type(error).__name__)


class _Comparing:
    """A writer that stores nothing and only computes length and hash."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.byte_count = 0

    async def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.byte_count += len(data)

    async def finish(self) -> StoredObject:
        return StoredObject("", self.byte_count, self._hash.digest())

    async def abort(self) -> None:
        """Nothing is there."""
