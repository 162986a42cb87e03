"""Compares storage and database: it removes objects that no row names, and corrects rows whose object is gone.

Objects are written before their rows, so a process that is killed in between leaves bytes that nobody counts. A disk
can also lose an object that a row names. One pass over objects and rows, in the order of their keys, finds both; each
run does a part of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core import clock
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.storage import ListedObject, Storage
from fastapi_ignite.infra.storage.base import is_tenant_object
from fastapi_ignite.ingestion.models import UNFINISHED
from fastapi_ignite.ingestion.object_keys import upload_of
from fastapi_ignite.ingestion.schemas import failure
from fastapi_ignite.ingestion.stored_files import NamedObject, StoredFiles
from fastapi_ignite.usage.service import UsageService

# An object whose upload has ended is removed when it is so old; clocks may differ a little.
MIN_AGE = timedelta(minutes=10)
# An earlier release wrote objects that name no upload. Only their age tells that no row will follow.
MIN_AGE_OF_UNKNOWN = timedelta(hours=24)
OBJECTS_A_RUN = 20_000
ROWS_A_PAGE = 5000
# If so many files are missing, and more than half of those looked at, then this is not the disk that held them.
IMPLAUSIBLE = 20
POSITION = "storage"
FOUND = Counter("ignite_storage_faults_total", "What the sweep of the storage corrected", ["fault"])
log = structlog.get_logger(__name__)

NamedElsewhere = Callable[[AsyncSession, Collection[str]], Awaitable[set[str]]]


class StorageSweep:
    """Sweeps the storage. It may run at any time, in any number of processes, beside uploads and removals.

    Each function of `named_elsewhere` returns those keys that rows of another feature name.
    """

    def __init__(self, database: Database, storage: Storage, named_elsewhere: Collection[NamedElsewhere]) -> None:
        self._database = database
        self._storage = storage
        self._named_elsewhere = named_elsewhere

    async def run(self) -> None:
        """Go on where the run before stopped, for at most 20,000 objects. After the last one, begin anew."""
        async with self._database.system() as session:
            place = await StoredFiles(session).position(POSITION)
        began_at = place
        seen = 0
        async for page in self._storage.objects(after=place):
            await self._compare(page, after=place, until=page[-1].key)
            place = page[-1].key
            seen += len(page)
            await self._remember(place)
            if seen >= OBJECTS_A_RUN:
                return
        await self._compare([], after=place, until=None, nothing_stored=not began_at and not seen)
        await self._remember("")

    async def _remember(self, place: str) -> None:
        async with self._database.system() as session:
            await StoredFiles(session).set_position(POSITION, place)

    async def _compare(
        self, page: Sequence[ListedObject], *, after: str, until: str | None, nothing_stored: bool = False
    ) -> None:
        """Correct what differs between two keys."""
        async with self._database.system() as session:
            rows = await StoredFiles(session).between(after, until, limit=ROWS_A_PAGE)
        named = {row.storage_key: row for row in rows}
        listed = {each.key for each in page}
        missing = [row for row in rows if row.storage_key not in listed and not await self._exists(row)]
        if missing and (nothing_stored or _is_implausible(len(missing), len(rows))):
            log.error(
                "the storage lacks most of these files and their rows were left as they are; is its volume mounted?",
                missing=len(missing),
                of=len(rows),
            )
        else:
            for row in missing:
                await self._correct(row)
        await self._welcome_back([row for row in rows if row.missing and row.storage_key in listed])
        await self._remove(await self._orphans([each for each in page if each.key not in named]))

    async def _exists(self, row: NamedObject) -> bool:
        """Ask the storage again for one object: the row may be younger than the list."""
        return await self._storage.exists(row.storage_key)

    async def _orphans(self, unnamed: Sequence[ListedObject]) -> list[str]:
        """Return objects that no row names and that no upload in progress wrote, by one snapshot of the database."""
        old_enough = [
            each.key for each in unnamed if is_tenant_object(each.key) and clock.now() - each.stored_at > _min_age(each)
        ]
        if not old_enough:
            return []
        async with self._database.system() as session:
            candidates = old_enough
            for named in self._named_elsewhere:
                known = await named(session, candidates)
                candidates = [key for key in candidates if key not in known]
            return await StoredFiles(session).unnamed(candidates, [upload_of(key) for key in candidates])

    async def _remove(self, orphans: Sequence[str]) -> None:
        for key in orphans:
            await self._storage.delete(key)
        if orphans:
            FOUND.labels("object_without_row").inc(len(orphans))
            log.warning("stored objects that no row names were removed", count=len(orphans), keys=list(orphans)[:20])

    async def _correct(self, row: NamedObject) -> None:
        """Fail an unfinished file, whose owner must upload it again; of any other one correct the stored bytes."""
        async with self._database.tenant(row.tenant_id) as session:
            files = StoredFiles(session)
            if row.state in UNFINISHED:
                error = failure(
                    code="content_missing",
                    message="The uploaded bytes were lost before they were read. Upload the file again.",
                    stage=row.state,
                    retryable=True,
                )
                failed = await files.fail_missing(row, last_error=error, now=clock.now())
                if failed is None:
                    return
                if failed.reservation_id:
                    await UsageService(session, row.tenant_id).release(failed.reservation_id)
            elif not await files.set_missing(row, now=clock.now()):
                return
        FOUND.labels("row_without_object").inc()
        log.error("an uploaded file is missing in storage", tenant_id=str(row.tenant_id), file_id=str(row.id))

    async def _welcome_back(self, rows: Sequence[NamedObject]) -> None:
        for row in rows:
            async with self._database.tenant(row.tenant_id) as session:
                await StoredFiles(session).set_missing(row, now=None)


def _is_implausible(missing: int, of: int) -> bool:
    return missing > IMPLAUSIBLE and 2 * missing > of


def _min_age(each: ListedObject) -> timedelta:
    return MIN_AGE if upload_of(each.key) else MIN_AGE_OF_UNKNOWN
