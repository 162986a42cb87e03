"""Makes stores and puts files into them, each exactly once whatever breaks in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import StaleAttemptError, keep_lease
from fastapi_ignite.rag.documents.repository import DocumentRepository, NewDocument
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.errors import (
    ProviderError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StoreFullError,
    StoreMissingError,
    TextTooLargeError,
)
from fastapi_ignite.rag.openai.missing_objects import MissingObjectDetector, rebuilding_error
from fastapi_ignite.rag.openai.models import ProviderFile, ProviderStore
from fastapi_ignite.rag.openai.provider_limits import ProviderLimits
from fastapi_ignite.rag.openai.reconciliation import INSTALLATION_KEY, STORE_KEY, installation_of
from fastapi_ignite.rag.openai.repository import LEASE, ProviderRepository
from fastapi_ignite.rag.openai.service import OpenAIService

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
CLAIM_SECONDS = 10.0
# the longest text that OpenAI accepts as a file; a token is at least one byte of text, and of prose about four
MAX_BYTES = 512 * 10**6
MAX_TOKENS = 5_000_000
BYTES_OF_A_TOKEN = 4
MAX_STORE_FILES = 10_000
REMOVED_AT_ONCE = 20

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A document whose text OpenAI has indexed."""

    source: DocumentSource
    file: ProviderFile
    store_id: str

    @property
    def chunk_count(self) -> int:
        return 0

    async def write(self, session: AsyncSession) -> None:
        """Write the document and link the provider's file to it."""
        tenant_id = self.source.tenant_id
        repository = ProviderRepository(session, tenant_id)
        if not await repository.lock_store(self.source.project_id, self.store_id):
            raise rebuilding_error()  # a file that is written after the rebuild has looked would be in no store
        document = NewDocument(self.source, chunk_count=0, unembedded_count=0)
        await DocumentRepository(session, tenant_id).insert([document])
        taken = await repository.advance_file(
            self.file, state="ready", document_id=self.source.document_id, attached=True
        )
        if not taken:
            raise already_claimed()


async def poll_until_found(check: Callable[[], Awaitable[T | None]], *, seconds: float) -> T:
    """Call `check` ever less often until it returns something, and return that.

    Raises:
        ProviderTimeoutError: `seconds` are over.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    pause = FIRST_PAUSE_SECONDS
    while (found := await check()) is None:
        if asyncio.get_running_loop().time() >= deadline:
            raise ProviderTimeoutError("The provider did not finish in time.")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return found


def already_claimed() -> ProviderUnavailableError:
    """Return the error for callers who come second."""
    return ProviderUnavailableError("Another attempt works on this file.")


class StoreMaker:
    """Makes a project's store. Of all callers in all processes one asks the provider; the others wait for it."""

    def __init__(self, database: Database, service: OpenAIService, *, seconds: float) -> None:
        self._database = database
        self._service = service
        self._seconds = seconds

    async def make(self, tenant_id: UUID, project_id: UUID) -> str:
        """Make the store if there is none, and return its id at the provider.

        Raises:
            StoreMissingError: the store was lost, and is rebuilt in the background.
            ProviderError: it was not made.
        """

        async def check() -> str | None:
            async with self._database.tenant(tenant_id) as session:
                stores = ProviderRepository(session, tenant_id)
                known = await stores.store(project_id)
                if known and known.provider_id:
                    return known.provider_id
                if known and known.state == "lost":
                    raise rebuilding_error()
                claimed = await stores.claim_store(project_id)
            if claimed is None:
                return None
            try:
                async with keep_lease(partial(self._extend, claimed)):
                    return await self.create(claimed)
            except StaleAttemptError:
                return None

        return await poll_until_found(check, seconds=2 * self._seconds)

    async def create(self, store: ProviderStore) -> str | None:
        """Create a claimed store and return its id, or None when another attempt took over.

        A later attempt looks first for what an earlier one made before it died. A store in place of one that was lost
        is to be filled next.
        """
        try:
            found = await self._service.find_stores(STORE_KEY, str(store.id)) if store.attempt > 1 else []
            provider_id = found[-1] if found else await self._ask_for(store)
        except BaseException:
            await self._advance(store, lease_until=func.now())
            raise
        for surplus in found[:-1]:
            await self._service.delete_store(surplus)
        state = "filling" if store.state == "lost" else "ready"
        return provider_id if await self._advance(store, state=state, provider_id=provider_id) else None

    async def remove(self, tenant_id: UUID, project_id: UUID) -> Sequence[str]:
        """Remove the store of a deleted project at the provider, and then its row. Return the ids removed.

        Raises:
            ProviderUnavailableError: It is being made just now.
        """
        async with self._database.tenant(tenant_id) as session:
            repository = ProviderRepository(session, tenant_id)
            store = await repository.store(project_id)
            if store is None:
                return ()
            if not store.provider_id and not await repository.take_over_store(store):
                raise already_claimed()
        ids = [store.provider_id] if store.provider_id else await self._service.find_stores(STORE_KEY, str(store.id))
        for provider_id in ids:
            await self._service.delete_store(provider_id)
        async with self._database.tenant(tenant_id) as session:
            await ProviderRepository(session, tenant_id).delete_store(project_id)
        return ids

    async def _ask_for(self, store: ProviderStore) -> str:
        async with self._database.tenant(store.tenant_id) as session:
            installation = await installation_of(session)
        metadata = {
            INSTALLATION_KEY: installation,
            STORE_KEY: str(store.id),
            "ignite_tenant": str(store.tenant_id),
            "ignite_project": str(store.project_id),
        }
        return await self._service.create_store(f"ignite-{store.project_id}", metadata)

    async def _extend(self, store: ProviderStore) -> None:
        if not await self._advance(store, lease_until=func.now() + LEASE):
            raise StaleAttemptError

    async def _advance(self, store: ProviderStore, **values: object) -> bool:
        async with self._database.tenant(store.tenant_id) as session:
            return await ProviderRepository(session, store.tenant_id).advance_store(store, **values)


class FileIndexer:
    """Uploads a document's text and waits until the provider has indexed it."""

    def __init__(
        self,
        database: Database,
        service: OpenAIService,
        missing_objects: MissingObjectDetector,
        provider_limits: ProviderLimits,
        *,
        seconds: float,
    ) -> None:
        self._database = database
        self._service = service
        self._missing_objects = missing_objects
        self._provider_limits = provider_limits
        self._seconds = seconds

    async def index(self, source: DocumentSource, store_id: str) -> IndexedFile:
        """Upload, attach, and wait until the provider says that it is done.

        What is uploaded is the extracted text: every format is one that OpenAI takes, and what it retrieves stands
        word for word in the text that quotes are proven against.

        Raises:
            ProviderError: not done; where it is not retryable nothing is left at the provider.
        """
        content = source.extracted.text.encode()
        if len(content) > MAX_BYTES or len(content) > MAX_TOKENS * BYTES_OF_A_TOKEN:
            raise TextTooLargeError("The text of the file is too long for OpenAI. Split it and upload the parts.")
        file = await self._claimed(source)
        if file.document_id:  # the caller finds that document, and writes nothing
            return IndexedFile(source, file, store_id)
        try:
            async with keep_lease(partial(self._extend, file)):
                file.provider_id = await self._uploaded(file, content)
                await self._indexed(file, file.provider_id, store_id)
        except StaleAttemptError:
            raise already_claimed() from None
        except StoreMissingError:
            if await self._gone(file):
                raise ProviderError("The file was gone at the provider; it is sent again.") from None
            raise
        except ProviderError as error:
            if not error.retryable:
                await self._discard(file)
            raise
        finally:
            # not when the write may still follow: the caller's transaction comes next
            if file.state == "working":
                await self._try_to_advance(file, lease_until=func.now())
        return IndexedFile(source, file, store_id)

    async def discard(self, tenant_id: UUID, project_id: UUID, sha256: bytes) -> tuple[str, ...]:
        """Remove what was abandoned, and return the provider's ids."""
        async with self._database.tenant(tenant_id) as session:
            repository = ProviderRepository(session, tenant_id)
            files, store = await repository.abandoned(project_id, sha256), await repository.store(project_id)
        removed: list[str] = []
        for file in files:
            for provider_id in [file.provider_id] if file.provider_id else await self._found(file):
                if store and store.provider_id:
                    await self._service.detach(store.provider_id, provider_id)
                await self._service.delete_file(provider_id)
                removed.append(provider_id)
        async with self._database.tenant(tenant_id) as session:
            for file in files:
                await ProviderRepository(session, tenant_id).delete_file(file.id)
        return tuple(removed)

    async def remove_all(self, tenant_id: UUID, project_id: UUID) -> AsyncGenerator[Sequence[str]]:
        """Remove the files of a deleted project at the provider, and then their rows. Yield the ids of each batch.

        Raises:
            ProviderUnavailableError: Some are uploaded just now; all others were removed.
        """
        while True:
            async with self._database.tenant(tenant_id) as session:
                files = await ProviderRepository(session, tenant_id).take_over_files(project_id, REMOVED_AT_ONCE)
            removed: list[str] = []
            for file in files:
                for provider_id in [file.provider_id] if file.provider_id else await self._found(file):
                    await self._service.delete_file(provider_id)
                    removed.append(provider_id)
            async with self._database.tenant(tenant_id) as session:
                repository = ProviderRepository(session, tenant_id)
                for file in files:
                    await repository.delete_file(file.id)
                left = await repository.has_files(project_id)
            yield removed
            if not left:
                return
            if not files:
                raise already_claimed()

    async def _found(self, file: ProviderFile) -> list[str]:
        """Return the ids of uploads whose answer was lost, newest first."""
        return await self._service.find_files(await self._name(file))

    async def _name(self, file: ProviderFile) -> str:
        async with self._database.tenant(file.tenant_id) as session:
            return file.filename(await installation_of(session))

    async def _claimed(self, source: DocumentSource) -> ProviderFile:
        """Claim the file. Equal bytes are often done in a moment, but a dead worker's lease is not waited for."""
        try:
            return await poll_until_found(partial(self._claim, source), seconds=min(self._seconds, CLAIM_SECONDS))
        except ProviderTimeoutError:
            raise already_claimed() from None

    async def _claim(self, source: DocumentSource) -> ProviderFile | None:
        async with self._database.tenant(source.tenant_id) as session:
            files = ProviderRepository(session, source.tenant_id)
            if done := await files.indexed_file(source.project_id, source.sha256):
                return done
            claimed = await files.claim_file(source.project_id, source.sha256)
            if claimed and await files.count_files(source.project_id) > MAX_STORE_FILES:
                raise StoreFullError("The project is full: OpenAI allows no more files. Use another project.")
            return claimed

    async def _gone(self, file: ProviderFile) -> bool:
        """Return whether it was the file that was missing; then the next attempt uploads it again."""
        if file.provider_id is None:
            return False
        try:
            return await self._missing_objects.detect_lost_file(file.tenant_id, file.id, file.provider_id)
        except ProviderError:  # not known
            return False

    async def _uploaded(self, file: ProviderFile, content: bytes) -> str:
        if file.provider_id:
            return file.provider_id
        found = await self._found(file) if file.attempt > 1 else []
        if not found:
            await self._provider_limits.upload()
        provider_id = found[-1] if found else await self._service.upload(await self._name(file), content)
        for surplus in found[:-1]:
            await self._service.delete_file(surplus)
        await self._advance(file, provider_id=provider_id)
        return provider_id

    async def _indexed(self, file: ProviderFile, provider_id: str, store_id: str) -> None:
        """Attach the file, and once more if it is stuck."""
        try:
            await self._attach_and_wait(file, provider_id, store_id)
        except ProviderTimeoutError:
            log.warning("file stuck at the provider", file_id=str(file.id))
            await self._service.detach(store_id, provider_id)
            await self._attach_and_wait(file, provider_id, store_id)
        file.state = "ready"

    async def _attach_and_wait(self, file: ProviderFile, provider_id: str, store_id: str) -> None:
        known = await self._service.attached(store_id, provider_id) if file.attempt > 1 else None
        if known is None or known.status in {"failed", "cancelled"}:
            await self._provider_limits.attach(file.tenant_id, store_id)
            await self._service.attach(store_id, provider_id, file.attributes)

        async def check() -> bool | None:
            await self._advance(file)
            attached = await self._service.attached(store_id, provider_id)
            if attached is None or attached.status == "cancelled":
                raise ProviderError("The file was taken out of the store while it was indexed.")
            if attached.status == "failed":
                if attached.last_error and attached.last_error.code in {"unsupported_file", "invalid_file"}:
                    raise ProviderRejectedError("OpenAI cannot index this file.")
                raise ProviderError("OpenAI failed to index the file.")
            return True if attached.status == "completed" else None

        await poll_until_found(check, seconds=self._seconds)

    async def _discard(self, file: ProviderFile) -> None:
        with suppress(ProviderError):  # what cannot be removed now is found by its name later
            if file.provider_id:
                await self._service.delete_file(file.provider_id)
            async with self._database.tenant(file.tenant_id) as session:
                await ProviderRepository(session, file.tenant_id).delete_file(file.id)

    async def _extend(self, file: ProviderFile) -> None:
        if not await self._try_to_advance(file):
            raise StaleAttemptError

    async def _advance(self, file: ProviderFile, **values: object) -> None:
        if not await self._try_to_advance(file, **values):
            raise already_claimed()

    async def _try_to_advance(self, file: ProviderFile, **values: object) -> bool:
        async with self._database.tenant(file.tenant_id) as session:
            return await ProviderRepository(session, file.tenant_id).advance_file(file, **values)
