"""Measures what isolation costs: the same reads as a tenant, and as an owner whom neither role nor policy restricts.

    python -m bench.isolation_cost [--megabytes 8] [--rounds 30]

All ways take turns in every round, so that what else the machine does hits them alike; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from statistics import median
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bench.harness import bench_servers, make_project, make_text
from bench.rounds import compare
from fastapi_ignite.core import clock
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.models import File, FileState
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.extraction import ExtractedText
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.local.retrieval import Question, Retriever
from fastapi_ignite.rag.local.search_repository import CANDIDATES

FILES = 100
OTHERS = 5
READS = 10
QUESTION_WORDS = 6
BY_FUNCTION = text("""
    SELECT chunk_id FROM search_lexical(:project_id, :generating, CAST(:question AS text)::sparsevec, :limit)
""")
# what the function does, with the tenant as a parameter
SEARCH = text("""
    SELECT c.id FROM chunks AS c
    WHERE c.terms && CAST(:generating AS integer[])
        AND (c.tenant_id = :tenant_id) IS TRUE AND (c.project_id = :project_id) IS TRUE
        AND c.document_id NOT IN (
            SELECT d.id FROM documents AS d
            WHERE d.tenant_id = :tenant_id AND d.project_id = :project_id AND d.hidden_at IS NOT NULL
        )
    ORDER BY c.lexical <#> CAST(:question AS text)::sparsevec LIMIT :limit
""")
Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]
Read = Callable[[AsyncSession], Awaitable[Sequence[object]]]


@dataclass(frozen=True, slots=True)
class Project:
    """One project of a tenant, and questions to it."""

    tenant_id: UUID
    id: UUID
    chunk_count: int
    questions: Sequence[Question]

    async def nothing(self, session: AsyncSession) -> Sequence[object]:
        """A transaction without a read."""
        return (await session.execute(text("SELECT 1"))).all()

    async def files_page(self, session: AsyncSession) -> Sequence[object]:
        """Read a page of files as `GET /ingestion/projects/{id}/files` does."""
        session.expunge_all()
        return [
            file.id
            for file in await FileRepo(session, self.tenant_id).page(self.id, limit=FILES, after=None, removed=False)
        ]

    async def search_by_function(self, number: int, session: AsyncSession) -> Sequence[object]:
        """Search for words as an answer does."""
        question = self.questions[number]
        values = {"generating": question.generating(), "question": question.sparsevec(), "limit": CANDIDATES}
        return (await session.scalars(BY_FUNCTION, {"project_id": self.id, **values})).all()

    async def search_by_statement(self, number: int, session: AsyncSession) -> Sequence[object]:
        """Run the query of the function as a statement of the caller."""
        question = self.questions[number]
        values = {"generating": question.generating(), "question": question.sparsevec(), "limit": CANDIDATES}
        ids = {"tenant_id": self.tenant_id, "project_id": self.id}
        return (await session.scalars(SEARCH, {**ids, **values})).all()


async def fill(database: Database, megabytes: int) -> Project:
    """Some tenants with a third of the text between them, and the one that is measured."""
    engine = LocalEngine(database, embedder="none")
    random_source = random.Random(7)
    for size in (*[megabytes * 500_000 // OTHERS] * OTHERS, megabytes * 1_000_000):
        tenant_id, project_id = await make_project(database, engine)
        body = make_text(random_source, size)
        digest = hashlib.sha256(body.encode()).digest()
        source = DocumentSource(tenant_id, project_id, new_id(), digest, ExtractedText(body, None, "text/plain"))
        prepared = await engine.prepare(source)
        async with database.tenant(tenant_id) as session:
            await prepared.write(session)
            session.add_all(_file(tenant_id, project_id, source.document_id, number) for number in range(FILES))
    words = body.split()
    asked = [" ".join(random_source.sample(words, QUESTION_WORDS)) for _ in range(READS)]
    retriever = Retriever(database, Embedders("none"))
    understood = [await retriever.analyze_question(tenant_id, project_id, question) for question in asked]
    return Project(tenant_id, project_id, prepared.chunk_count, [question for question in understood if question])


def _file(tenant_id: UUID, project_id: UUID, document_id: UUID, number: int) -> File:
    return File(
        tenant_id=tenant_id,
        id=new_id(),
        project_id=project_id,
        batch_id=document_id,
        filename=f"{number}.txt",
        byte_count=1000,
        sha256=number.to_bytes(32, "big"),
        state=FileState.COMPLETED,
        document_id=document_id,
        notified_at=clock.now(),
    )


async def milliseconds(transaction: Transaction, reads: Sequence[Read]) -> float:
    """Each read in a transaction of its own, as a request's."""
    began = time.perf_counter()
    for read in reads:
        async with transaction() as session:
            assert await read(session)
    return (time.perf_counter() - began) / len(reads) * 1e3


async def take_turns(label: str, ways: dict[str, tuple[Transaction, Sequence[Read]]], rounds: int) -> None:
    """The last way is what the others are compared with."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (transaction, reads) in ways.items():
            taken[name].append(await milliseconds(transaction, reads))
    base = taken[list(ways)[-1]]
    for name, times in taken.items():
        print(f"{label:16} {name:34} {median(times):7.2f} ms   ratio {compare(times, base)}")


async def measure(addresses: ServiceAddresses, options: argparse.Namespace) -> None:
    worker, api = Database(addresses.worker_url, pool_size=1), Database(addresses.api_url, pool_size=1)
    settings = {"server_settings": {"jit": "off"}}
    engine = create_async_engine(addresses.owner_url, pool_size=1, pool_pre_ping=True, connect_args=settings)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    project = await fill(worker, options.megabytes)
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM (ANALYZE)"))
    print(f"{project.chunk_count} chunks and {FILES} files in the project, half as many with {OTHERS} others")
    tenant = partial(api.tenant, project.tenant_id)
    owner = sessions.begin
    by_function = [partial(project.search_by_function, number) for number in range(len(project.questions))]
    by_statement = [partial(project.search_by_statement, number) for number in range(len(project.questions))]
    for number in range(len(project.questions)):
        async with tenant() as session, owner() as other:
            assert await by_function[number](session) == await by_statement[number](other)
    held, free = "ignite_tenant", "owner, no role, no policy"
    for label, read in (("empty", project.nothing), ("files page", project.files_page)):
        await take_turns(label, {held: (tenant, [read] * READS), free: (owner, [read] * READS)}, options.rounds)
    await take_turns(
        "lexical search",
        {
            f"{held}, by the function": (tenant, by_function),
            f"{held}, without it": (tenant, by_statement),
            free: (owner, by_statement),
        },
        options.rounds,
    )
    await engine.dispose()
    await api.close()
    await worker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with bench_servers(durable=False) as (addresses, _):
        asyncio.run(measure(addresses, options))


if __name__ == "__main__":
    main()
