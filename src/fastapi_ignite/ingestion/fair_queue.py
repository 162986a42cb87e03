"""Decides which waiting file a worker takes next. Tenants take turns, however many files each of them has."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion.batch_repository import SMALL_FILE_BYTES, FileBatchRepo
from fastapi_ignite.ingestion.models import UNFINISHED, File, FileState
from fastapi_ignite.ingestion.repository import FileRepo, TenantTurn, next_waiting
from fastapi_ignite.ingestion.tasks import process_file

# One thread is for background work such as embedding, and one for a file of another tenant.
THREADS_LEFT_FOR_OTHERS = 2
# Other workers may take a chosen file first.
TRIES = 5
REMEMBERED_TENANTS = 1000
# Small files that a thread takes at a time: enough that transactions count little, and a moment's work.
BATCH_FILES = 32


@dataclass(frozen=True, slots=True)
class ClaimedFiles:
    """Files of one project that this worker holds the leases of: a file, and small ones that waited behind it.

    `siblings` counts the other threads of this process that work for the tenant.
    """

    files: Sequence[File]
    siblings: int


class FairQueue:
    """Hands out the files of all tenants to the threads of one worker process.

    A message says that some file waits, not which one is next. Among the tenants with waiting files, the one with the
    fewest files in progress here comes first, then the one that was served longest ago. No tenant holds more than
    `share` threads, so a file of another tenant starts at once.
    """

    def __init__(self, database: Database, jobs: JobQueue, *, threads: int) -> None:
        self._database = database
        self._jobs = jobs
        self.share = max(1, threads - THREADS_LEFT_FOR_OTHERS)
        self._running: Counter[UUID] = Counter()
        self._served: OrderedDict[UUID, int] = OrderedDict()
        self._turns = count(1)

    @asynccontextmanager
    async def next_files(self) -> AsyncGenerator[ClaimedFiles | None]:
        """Claim the next file, with small ones behind it, until the block ends; None when no file may start.

        A message that finds only files of tenants with a full share is used up. So when files end and another one
        may start, a message is sent for that one.
        """
        claimed = await self._claim()
        if claimed is None:
            yield None
            return
        try:
            yield claimed
        finally:
            self._release(claimed.files[0].tenant_id)
        async with self._database.system() as session:
            following = await self._choose(session)
            if following is not None:
                self._jobs.enqueue(session, process_file, *following)

    async def _choose(self, session: AsyncSession) -> tuple[UUID, UUID] | None:
        turns = [TenantTurn(tenant_id, self._running[tenant_id], turn) for tenant_id, turn in self._served.items()]
        return await next_waiting(session, turns, share=self.share)

    async def _claim(self) -> ClaimedFiles | None:
        for _ in range(TRIES):
            async with self._database.system() as session:
                chosen = await self._choose(session)
            if chosen is None:
                return None
            tenant_id, file_id = chosen
            if self._running[tenant_id] >= self.share:  # another thread of this process was faster
                continue
            siblings = self._hold(tenant_id)
            files = await self._claim_files(tenant_id, file_id)
            if files:
                return ClaimedFiles(files, siblings)
        return None

    async def _claim_files(self, tenant_id: UUID, file_id: UUID) -> list[File]:
        files: list[File] = []
        try:
            async with self._database.tenant(tenant_id) as session:
                first = await FileRepo(session, tenant_id).claim(file_id, states=UNFINISHED, state=FileState.EXTRACTING)
                if first is None:
                    return []
                following: list[File] = []
                # a file that is tried again may have brought its worker down: it takes no others with it
                if first.attempt == 1 and first.byte_count <= SMALL_FILE_BYTES and first.version_of is None:
                    following = await FileBatchRepo(session, tenant_id).claim_following(first, most=BATCH_FILES - 1)
            files = [first, *following]
        finally:
            if not files:
                self._release(tenant_id)
        return files

    def _hold(self, tenant_id: UUID) -> int:
        siblings = self._running[tenant_id]
        self._running[tenant_id] += 1
        self._served[tenant_id] = next(self._turns)
        self._served.move_to_end(tenant_id)
        if len(self._served) > REMEMBERED_TENANTS:
            self._served.popitem(last=False)
        return siblings

    def _release(self, tenant_id: UUID) -> None:
        self._running[tenant_id] -= 1
        if not self._running[tenant_id]:
            del self._running[tenant_id]
