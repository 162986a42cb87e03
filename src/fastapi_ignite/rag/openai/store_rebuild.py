"""Makes a lost store again, and fills a store with what is missing in it, from the text that we have.

The work can be resumed at any point: the store's row says whether it is made, each file's row whether it is in the
store, and a new attempt looks first at what an earlier one left at the provider.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch
from prometheus_client import Counter
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import LEASE, StaleAttemptError, keep_lease, next_try
from fastapi_ignite.rag.errors import ProviderError, ProviderTimeoutError, StoreMissingError
from fastapi_ignite.rag.openai.indexing import StoreMaker, poll_until_found
from fastapi_ignite.rag.openai.missing_objects import MissingObjectDetector
from fastapi_ignite.rag.openai.models import ProviderFile, ProviderStore
from fastapi_ignite.rag.openai.provider_limits import ProviderLimits
from fastapi_ignite.rag.openai.reconciliation import installation_of
from fastapi_ignite.rag.openai.repository import ProviderRepository
from fastapi_ignite.rag.openai.service import OpenAIService

# the provider accepts 2,000, but refuses them all if one file is missing
BATCH = 500
ROUNDS = 3
# files that could not be put into a store hold nobody up, and are tried again
NEXT_VISIT = timedelta(hours=1)
REFUSALS = frozenset({"unsupported_file", "invalid_file"})
LEFT_OUT = Counter("ignite_provider_files_left_out_total", "Files that a rebuilt store does not have")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RebuiltStore:
    """A store that has been filled as far as possible."""

    store: ProviderStore
    vector_store_id: str
    complete: bool

    async def write(self, session: AsyncSession) -> None:
        """Let questions be answered from the commit on.

        Raises:
            StaleAttemptError: the store was lost again, or another attempt took over.
        """
        lease_until = func.now() if self.complete else func.now() + NEXT_VISIT
        stores = ProviderRepository(session, self.store.tenant_id)
        if not await stores.advance_store(self.store, state="ready", lease_until=lease_until):
            raise StaleAttemptError


class Rebuilder:
    """Rebuilds stores. Of all callers in all processes one rebuilds a store."""

    def __init__(
        self,
        database: Database,
        service: OpenAIService,
        *,
        stores: StoreMaker,
        missing_objects: MissingObjectDetector,
        provider_limits: ProviderLimits,
        seconds: float,
    ) -> None:
        self._database = database
        self._stores = stores
        self._missing_objects = missing_objects
        self._filler = StoreFiller(database, service, provider_limits, seconds=seconds)

    async def rebuild(self, tenant_id: UUID, project_id: UUID) -> RebuiltStore | None:
        """Rebuild a store. Return None if nothing is to be done, somebody else does it, or it is tried again later."""
        async with self._database.tenant(tenant_id) as session:
            store = await ProviderRepository(session, tenant_id).claim_rebuild(project_id, LEASE)
        if store is None:
            return None
        try:
            async with keep_lease(partial(self._extend, store)):
                return await self._rebuild(store)
        except StaleAttemptError:
            log.info("attempt overtaken")
        except ProviderError as error:
            log.warning("rebuild put off", project_id=str(project_id), code=error.code, attempt=store.attempt)
            await self._put_off(store, error)
        return None

    async def _rebuild(self, store: ProviderStore) -> RebuiltStore:
        store_id = store.provider_id or await self._stores.create(store)
        if store_id is None:
            raise StaleAttemptError
        store.provider_id = store_id
        complete = await self._filler.fill(store, store_id)
        log.info("vector store rebuilt", project_id=str(store.project_id), complete=complete)
        return RebuiltStore(store, store_id, complete)

    async def _put_off(self, store: ProviderStore, error: ProviderError) -> None:
        if isinstance(error, StoreMissingError) and store.provider_id:
            with suppress(ProviderError):
                if await self._missing_objects.detect_lost_store(store.tenant_id, store.project_id, store.provider_id):
                    return  # the next attempt makes another
        async with self._database.tenant(store.tenant_id) as session:
            later = next_try(store.attempt, at_least=error.wait)
            await ProviderRepository(session, store.tenant_id).advance_store(store, lease_until=later)

    async def _extend(self, store: ProviderStore) -> None:
        async with self._database.tenant(store.tenant_id) as session:
            stores = ProviderRepository(session, store.tenant_id)
            if not await stores.advance_store(store, lease_until=func.now() + LEASE):
                raise StaleAttemptError


class StoreFiller:
    """Puts a project's files into its store. Files that the provider has already are not sent again."""

    def __init__(
        self, database: Database, service: OpenAIService, provider_limits: ProviderLimits, *, seconds: float
    ) -> None:
        self._database = database
        self._service = service
        self._provider_limits = provider_limits
        self._seconds = seconds

    async def fill(self, store: ProviderStore, store_id: str) -> bool:
        """Fill the store, and return whether all its files are in it.

        Raises:
            ProviderError: the work broke off; what was put into the store stays.
        """
        complete = True
        last: UUID | None = None
        if not await self._missing(store, after=None, limit=1):
            return True
        present = await self._uploads(store)
        inside = await self._inside(store_id)
        while files := await self._missing(store, after=last, limit=BATCH):
            last = files[-1].id
            uploads = {id_: file for file in files if (id_ := await self._uploaded(file, present))}
            await self._mark_attached(store, [file for id_, file in uploads.items() if id_ in inside])
            outside = {id_: file for id_, file in uploads.items() if id_ not in inside}
            complete = await self._attach(store, store_id, outside) and complete
        return complete

    async def _missing(self, store: ProviderStore, *, after: UUID | None, limit: int) -> Sequence[ProviderFile]:
        async with self._database.tenant(store.tenant_id) as session:
            files = ProviderRepository(session, store.tenant_id)
            return await files.unattached_files(store.project_id, after=after, limit=limit)

    async def _uploads(self, store: ProviderStore) -> Mapping[UUID, list[str]]:
        """Return the provider's ids by file row, newest first."""
        async with self._database.tenant(store.tenant_id) as session:
            installation = await installation_of(session)
        found: dict[UUID, list[str]] = {}
        async with aclosing(self._service.files()) as files:
            async for file in files:
                if row_id := ProviderFile.id_in(file.filename, installation):
                    found.setdefault(row_id, []).append(file.id)
        return found

    async def _inside(self, store_id: str) -> Collection[str]:
        async with aclosing(self._service.attached_files(store_id)) as files:
            return {file.id async for file in files if file.status == "completed"}

    async def _uploaded(self, file: ProviderFile, present: Mapping[UUID, Sequence[str]]) -> str | None:
        """Upload the file unless the provider has it, and return its id there, or None where it is being removed."""
        found = present.get(file.id, ())
        if file.provider_id in found:
            return file.provider_id
        async with self._database.tenant(file.tenant_id) as session:
            name = file.filename(await installation_of(session))
            text = await ProviderRepository(session, file.tenant_id).text_of(file.id)
        if text is None:
            return None
        provider_id = found[0] if found else None
        if provider_id is None:
            await self._provider_limits.upload(wait=True)
            provider_id = await self._service.upload(name, text.encode())
        async with self._database.tenant(file.tenant_id) as session:
            kept = await ProviderRepository(session, file.tenant_id).advance_file(file, provider_id=provider_id)
        if not kept:  # removed meanwhile, by those who knew nothing of this upload
            await self._service.delete_file(provider_id)
            return None
        return provider_id

    async def _attach(self, store: ProviderStore, store_id: str, files: Mapping[str, ProviderFile]) -> bool:
        """Attach files, several times where one is stuck or fails by chance. Return whether all are in the store."""
        waiting, refused = dict(files), 0
        for _ in range(ROUNDS):
            if not waiting:
                break
            outcome = await self._batch(store, store_id, waiting)
            done = {each.id for each in outcome if each.status == "completed"}
            await self._mark_attached(store, [file for provider_id, file in waiting.items() if provider_id in done])
            bad = {each.id for each in outcome if each.last_error and each.last_error.code in REFUSALS}
            refused += len(bad & waiting.keys())
            waiting = {each: file for each, file in waiting.items() if each not in done | bad}
        if refused or waiting:
            LEFT_OUT.inc(refused + len(waiting))
            log.error("files left out of a rebuilt store", refused=refused, stuck=len(waiting))
        return not (refused or waiting)

    async def _batch(
        self, store: ProviderStore, store_id: str, files: Mapping[str, ProviderFile]
    ) -> list[VectorStoreFile]:
        await self._provider_limits.attach(store.tenant_id, store_id, files=len(files), wait=True)
        attributes = {provider_id: file.attributes for provider_id, file in files.items()}
        batch_id = await self._service.attach_batch(store_id, attributes)
        settled = -1

        async def check() -> VectorStoreFileBatch | None:
            batch = await self._service.batch(store_id, batch_id)
            counts = batch.file_counts
            return batch if not counts.in_progress or counts.total - counts.in_progress > settled else None

        with suppress(ProviderTimeoutError):  # the list says which are stuck
            while (counts := (await poll_until_found(check, seconds=self._seconds)).file_counts).in_progress:
                settled = counts.total - counts.in_progress
        async with aclosing(self._service.batch_files(store_id, batch_id)) as outcome:
            return [file async for file in outcome]

    async def _mark_attached(self, store: ProviderStore, files: Sequence[ProviderFile]) -> None:
        """Mark files as attached, if the store is still the project's."""
        if not files:
            return
        async with self._database.tenant(store.tenant_id) as session:
            repository = ProviderRepository(session, store.tenant_id)
            if not await repository.advance_store(store, lease_until=func.now() + LEASE):
                raise StaleAttemptError
            await repository.set_attached([file.id for file in files])
