"""Builds the vector indexes (HNSW) of large projects, and drops those that are not needed any more.

Each is a partial index of `chunks` with the rows of one project, so a project pays for its own rows only. The function
`search_dense` of the migrations uses an index once it is complete, and without one compares all chunks of the project.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_ignite.core.model_sections import VectorIndexSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.db.connections import single_use_engine
from fastapi_ignite.infra.db.logins import LOGIN_REFUSED

# Statements that read `chunks` are planned with all indexes in mind: 200 of them add 0.4 ms.
MOST_INDEXES: Final = 100
MOST_OF_A_TENANT: Final = 20
# An index is dropped when its project has shrunk to this share of the size that brings one, and not at once.
KEPT_SHARE: Final = 0.5
# pgvector takes vectors of half precision up to this length into an index.
LONGEST_VECTOR: Final = 4000
# the first pgvector whose scan of an index goes on until enough rows have passed the filter
ITERATIVE_SCAN: Final = (0, 8)
RETRY_SECONDS: Final = 3600.0
_BUILD_LOCK: Final = 7_311_904_226  # any number of our own
_PREFIX: Final = "ix_chunks_embedding_"
_NAME: Final = re.compile(rf"{_PREFIX}([0-9a-f]{{32}})")
# With pgvector's 16, an index of a million passages finds 0.958 of the nearest; with 24 it finds 0.988.
LINKS: Final = 24
# Bytes of a chunk in memory while its index is built, beside those of its vector. With 16 links 716 were measured.
_BUILD_BYTES: Final = 1300
_MEGABYTE: Final = 1 << 20

_LARGE_PROJECTS = text("""
    SELECT tenant_id, project_id, dimensions, chunk_count FROM rag_indexes
    WHERE chunk_count >= :least AND dimensions BETWEEN 1 AND :longest
    ORDER BY chunk_count DESC, project_id
""")
_INDEXES = text("""
    SELECT c.relname AS name, i.indisvalid AS is_complete, pg_relation_size(c.oid) / 1048576 AS megabytes
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'public.chunks'::regclass ORDER BY c.relname
""")
_OWNER = text("""
    SELECT pg_has_role(c.relowner, 'USAGE') AS owns, current_user AS login,
        (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector
    FROM pg_class AS c WHERE c.oid = 'public.chunks'::regclass
""")
log = structlog.get_logger(__name__)


class _ImpossibleError(Exception):
    """No index can be built here. The text says why."""


@dataclass(frozen=True, slots=True)
class LargeProject:
    """A project that is to have a vector index."""

    tenant_id: UUID
    project_id: UUID
    dimensions: int
    chunk_count: int

    @property
    def build_megabytes(self) -> int:
        """Return the memory in which its whole graph fits while it is built."""
        return self.chunk_count * (2 * self.dimensions + _BUILD_BYTES) // _MEGABYTE + 1

    @property
    def statement(self) -> str:
        """Return the statement that builds the index. It must not run in a transaction."""
        return (
            f"CREATE INDEX CONCURRENTLY {index_name(self.project_id)} ON public.chunks "
            f"USING hnsw ((embedding::halfvec({self.dimensions})) halfvec_cosine_ops) "
            f"WITH (m = {LINKS}, ef_construction = 100) WHERE project_id = '{self.project_id.hex}'::uuid"
        )


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """An index in the database. One that is not complete is being built, or its build was interrupted."""

    project_id: UUID
    is_complete: bool
    megabytes: int


@dataclass(frozen=True, slots=True)
class _Work:
    unneeded: Sequence[str]
    missing: Sequence[LargeProject]


def index_name(project_id: UUID) -> str:
    return f"{_PREFIX}{project_id.hex}"


class VectorIndexes:
    """The vector indexes of all tenants' projects.

    `database` connects with the worker's login, which reads the sizes of projects. Only the owner of a table may create
    and drop its indexes.
    """

    def __init__(self, database: Database, owner_url: URL, settings: VectorIndexSettings) -> None:
        self._database = database
        self._owner_url = owner_url
        self._settings = settings
        self._reported = ""
        self._retry_at: dict[UUID, float] = {}

    async def maintain(self) -> int:
        """Drop the indexes that are not needed, and build those that are missing, one after the other.

        Return how many projects go on without an index that they should have.
        No transaction is open while an index is built. Of several processes one does the work, and the others return.
        An index whose build was interrupted is not used; it is dropped and built again. If the process dies,
        PostgreSQL finishes the index, and holds the lock so long.
        """
        work = await self._work()
        if not work.unneeded and not self._due(work.missing):
            return len(work.missing)
        try:
            async with self._owner() as owner:
                if not await owner.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _BUILD_LOCK}):
                    return len(work.missing)
                work = await self._work()  # another process may have done it meanwhile
                for name in work.unneeded:
                    await owner.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS public.{name}")
                    log.info("vector index dropped", index=name)
                built = [await self._build(owner, project) for project in self._due(work.missing)]
                return len(work.missing) - sum(built)
        except _ImpossibleError as error:
            self._report(str(error), len(work.missing))
            return len(work.missing)

    def _due(self, missing: Sequence[LargeProject]) -> list[LargeProject]:
        """Return the projects whose index did not fail to be built within the last hour."""
        now = time.monotonic()
        return [project for project in missing if self._retry_at.get(project.project_id, now) <= now]

    async def list(self) -> Sequence[VectorIndex]:
        async with self._database.system() as session:
            rows = (await session.execute(_INDEXES)).all()
        return [
            VectorIndex(UUID(found[1]), row.is_complete, row.megabytes)
            for row in rows
            if (found := _NAME.fullmatch(row.name))
        ]

    async def _work(self) -> _Work:
        least = self._settings.min_chunks
        values = {"least": max(int(least * KEPT_SHARE), 1), "longest": LONGEST_VECTOR}
        async with self._database.system() as session:
            large = [LargeProject(*row) for row in await session.execute(_LARGE_PROJECTS, values)]
        built = await self.list()
        kept = {project.project_id for project in large}
        complete = {index.project_id for index in built if index.is_complete and index.project_id in kept}
        held = Counter(project.tenant_id for project in large if project.project_id in complete)
        missing = []
        for project in large:
            if (
                project.chunk_count >= least
                and project.project_id not in complete
                and held[project.tenant_id] < MOST_OF_A_TENANT
            ):
                held[project.tenant_id] += 1
                missing.append(project)
        unneeded = [index_name(index.project_id) for index in built if index.project_id not in complete]
        return _Work(unneeded, missing[: max(MOST_INDEXES - len(complete), 0)])

    @asynccontextmanager
    async def _owner(self) -> AsyncGenerator[AsyncConnection]:
        """Connect as the owner of the tables, without transactions.

        Raises:
            _ImpossibleError: the login is refused, or is not the owner, or pgvector is too old.
        """
        engine = single_use_engine(self._owner_url, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                await _require_owner(connection)
                yield connection
        except DBAPIError as error:
            if not str(getattr(error.orig, "sqlstate", "")).startswith(LOGIN_REFUSED):
                raise
            raise _ImpossibleError(f"the login {self._owner_url.username} is refused") from error
        finally:
            await engine.dispose()

    async def _build(self, owner: AsyncConnection, project: LargeProject) -> bool:
        """Build one index. If PostgreSQL refuses, for example for want of memory or space, try again in an hour.

        Return whether it was built.
        """
        began = time.monotonic()
        log.info("vector index begun", project_id=str(project.project_id), chunks=project.chunk_count)
        try:
            if self._settings.memory_mb is not None:
                memory = max(min(project.build_megabytes, self._settings.memory_mb), 1)
                await owner.exec_driver_sql(f"SET maintenance_work_mem = '{memory}MB'")
            for limit in ("statement_timeout", "lock_timeout"):
                await owner.exec_driver_sql(f"SET {limit} = 0")
            await owner.exec_driver_sql(project.statement)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            self._retry_at[project.project_id] = time.monotonic() + RETRY_SECONDS
            log.exception(
                "vector index not built: its project is searched without one; the next try is in an hour",
                project_id=str(project.project_id),
            )
            return False
        log.info("vector index built", project_id=str(project.project_id), seconds=round(time.monotonic() - began, 1))
        return True

    def _report(self, reason: str, projects: int) -> None:
        """Log a reason once, as every run finds it again."""
        if reason == self._reported or not projects:
            return
        self._reported = reason
        log.warning(
            "no vector index can be built: searches of large projects compare all their passages and take longer",
            reason=reason,
            projects=projects,
        )


async def _require_owner(connection: AsyncConnection) -> None:
    row = (await connection.execute(_OWNER)).one()
    if not row.owns:
        raise _ImpossibleError(f"the login {row.login} does not own the table chunks")
    version = tuple(int(part) for part in row.pgvector.split(".")[:2])
    if version < ITERATIVE_SCAN:
        raise _ImpossibleError(f"pgvector {row.pgvector} is older than 0.8")
