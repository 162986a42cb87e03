"""The vector indexes of large projects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from fastapi_ignite.core.model_sections import VectorIndexSettings
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.query.filters import EqualityFilter, condition_of
from fastapi_ignite.rag.engine import AttributeCondition
from fastapi_ignite.rag.local import vector_indexes
from fastapi_ignite.rag.local.embedding import Vectors, halfvec_text
from fastapi_ignite.rag.local.lexical import posting_id, question_weights, sparsevec_text
from fastapi_ignite.rag.local.repository import LocalIndexRepository
from fastapi_ignite.rag.local.search_repository import CANDIDATES, find_candidates
from fastapi_ignite.rag.local.vector_indexes import VectorIndexes, index_name
from support.databases import fetch
from support.rag_projects import RagProject, RagProjectFactory, gather_all

LARGE = 150
INDEXES = (
    "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = 'chunks'::regclass AND c.relname LIKE 'ix_chunks_embedding%'"
)
QUESTION = np.random.default_rng(1000).standard_normal(384).astype(np.float32)


@pytest.fixture(autouse=True)
async def indexes(database: Database, addresses: ServiceAddresses) -> AsyncIterator[VectorIndexes]:
    """Return the maintenance as a worker has it. Projects of 150 chunks are large for it. There is no other project."""
    await fetch(addresses.owner_url, "TRUNCATE rag_indexes")
    yield maintenance(database, addresses)
    await fetch(addresses.owner_url, "TRUNCATE rag_indexes")
    await maintenance(database, addresses).maintain()  # drops all


def maintenance(database: Database, addresses: ServiceAddresses) -> VectorIndexes:
    return VectorIndexes(
        database, addresses.owner_url, VectorIndexSettings.model_construct(min_chunks=LARGE, memory_mb=64)
    )


async def add(project: RagProject, chunks: int, *, near: Vectors | None = None) -> UUID:
    """Add a document of so many chunks, whose vectors differ at random, or are near the one given."""
    number = (await project.rows("SELECT count(*) FROM documents"))[0][0]
    body = "\n\n".join(f"Paragraph {part} of document {number}. " + "It is long. " * 50 for part in range(chunks))
    document_id = await project.add(body)
    ids = [row[0] for row in await project.rows("SELECT id FROM chunks WHERE document_id = :id", id=document_id)]
    assert len(ids) == chunks
    vectors = np.random.default_rng(number).standard_normal((chunks, 384)).astype(np.float32)
    if near is not None:
        vectors = near + 0.1 * vectors
    async with project.database.tenant(project.tenant_id) as session:
        await LocalIndexRepository(session, project.tenant_id).set_embeddings(
            [document_id], [(chunk_id, halfvec_text(vector)) for chunk_id, vector in zip(ids, vectors, strict=True)]
        )
    return document_id


async def search(
    project: RagProject, tenant_id: UUID | None = None, within: AttributeCondition | None = None
) -> list[UUID]:
    """Search by meaning alone, and return the documents of the chunks that were found."""
    found = await find_candidates(
        project.database,
        tenant_id or project.tenant_id,
        project.project_id,
        [],
        sparsevec_text({0: 1.0}),
        QUESTION,
        None,
        within=within,
    )
    return [candidate.document_id for candidate in found]


async def scans(project: RagProject, within: Sequence[UUID] | None = None) -> int:
    """Search, in these documents if there are any, and return how often the search has read the project's index."""
    call = "SELECT * FROM search_dense(:project, CAST(:question AS text)::halfvec, 10)"
    if within is not None:
        call = "SELECT * FROM search_dense_within(:project, CAST(:question AS text)::halfvec, 10, :documents)"
    async with project.database.tenant(project.tenant_id) as session:
        question = halfvec_text(QUESTION)
        found = await session.execute(
            text(call), {"project": project.project_id, "question": question, "documents": within}
        )
        assert len(found.all()) == 10
        count = await session.scalar(
            text("SELECT pg_stat_get_xact_numscans(to_regclass(:name))"), {"name": index_name(project.project_id)}
        )
        return count or 0


async def add_file(project: RagProject, document_id: UUID, attributes: Mapping[str, object]) -> None:
    """Insert a completed file of the document."""
    await project.rows(
        "INSERT INTO files (tenant_id, id, project_id, batch_id, filename, byte_count, sha256, document_id, state, "
        "attributes, notified_at) SELECT tenant_id, gen_random_uuid(), id, gen_random_uuid(), 'a.txt', 1, '', "
        ":document, 'completed', CAST(:attributes AS jsonb), now() FROM projects WHERE id = :project",
        document=document_id,
        attributes=json.dumps(attributes),
    )


async def built(project: RagProject) -> dict[str, bool]:
    """Return the vector indexes of the database, and whether each is complete."""
    return dict(await project.rows(INDEXES))


async def test_a_tenant_has_a_share_of_the_indexes(
    rag_project: RagProjectFactory, indexes: VectorIndexes, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
    for project in (mine, other):
        await add(project, LARGE)
    monkeypatch.setattr(vector_indexes, "MOST_OF_A_TENANT", 0)
    await indexes.maintain()
    assert await built(mine) == {}
    monkeypatch.setattr(vector_indexes, "MOST_OF_A_TENANT", 1)
    assert await indexes.maintain() == 0
    assert set(await built(mine)) == {index_name(mine.project_id), index_name(other.project_id)}


class TestSearch:
    async def test_a_large_project_is_searched_by_its_index(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes
    ) -> None:
        large, small = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
        await add(large, LARGE)
        await add(small, 20)
        assert await scans(large) == 0
        exact = await search(large)
        await indexes.maintain()
        assert await built(large) == {index_name(large.project_id): True}
        assert (await scans(large), await scans(small)) == (1, 0)
        assert await search(large) == exact

    async def test_hidden_documents_do_not_reduce_the_number_of_rows(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes
    ) -> None:
        project = await rag_project(embedder="minilm")
        near = await add(project, 450, near=QUESTION)  # more than the scan takes in one go
        far, few = await add(project, 120), await add(project, 30)
        await indexes.maintain()
        assert set(await search(project)) == {near}
        await project.hide(near)
        found = await search(project)
        assert len(found) == CANDIDATES
        assert set(found) <= {far, few}
        await project.hide(far)
        assert await search(project) == [few] * 30

    async def test_chunks_that_are_newer_than_the_index_are_found(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes
    ) -> None:
        project = await rag_project(embedder="minilm")
        await add(project, LARGE)
        await indexes.maintain()
        newer = await add(project, 100, near=QUESTION)
        assert await scans(project) == 1
        assert set(await search(project)) == {newer}
        await project.hide(newer)
        await project.purge(newer)
        assert len(await search(project)) == CANDIDATES

    async def test_another_tenant_finds_nothing(self, rag_project: RagProjectFactory, indexes: VectorIndexes) -> None:
        project, stranger = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
        await add(project, LARGE)
        await add(stranger, 20)
        await indexes.maintain()
        assert await search(project, stranger.tenant_id) == []
        assert len(await search(stranger)) == 20


class TestAttributes:
    """A search in files with certain attributes only."""

    MINE = condition_of(EqualityFilter(type="eq", key="owner", value="ada"))

    async def filled(self, project: RagProject) -> tuple[UUID, UUID, UUID]:
        """Add three documents, of which the nearest is not mine."""
        near, far, few = await add(project, 450, near=QUESTION), await add(project, 120), await add(project, 30)
        for document_id, owner in ((near, "bob"), (far, "ada"), (few, "ada")):
            await add_file(project, document_id, {"owner": owner})
        return near, far, few

    async def test_few_passages_are_compared_without_the_index(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes
    ) -> None:
        project = await rag_project(embedder="minilm")
        near, far, few = await self.filled(project)
        await indexes.maintain()
        found = await search(project, within=self.MINE)
        assert len(found) == CANDIDATES
        assert set(found) <= {far, few}
        assert await scans(project, [far, few]) == 0
        assert set(await search(project)) == {near}

    async def test_many_passages_are_found_by_the_index(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes
    ) -> None:
        project = await rag_project(embedder="minilm")
        near, far, few = await self.filled(project)
        exact = await search(project, within=self.MINE)
        await project.rows("UPDATE documents SET chunk_count = 30000 WHERE project_id = :project")
        await indexes.maintain()
        assert await scans(project, [far, few]) == 1
        assert await search(project, within=self.MINE) == exact  # the scan passes over 450 nearer passages
        await project.hide(far)
        assert await search(project, within=self.MINE) == [few] * 30  # fewer than the scan was to find
        assert near not in exact

    async def test_another_tenant_finds_nothing(self, rag_project: RagProjectFactory, indexes: VectorIndexes) -> None:
        project, stranger = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
        _, far, few = await self.filled(project)
        await indexes.maintain()
        assert await search(project, stranger.tenant_id, within=self.MINE) == []
        call = "SELECT count(*) FROM search_dense_within(:other, CAST(:question AS text)::halfvec, 10, :documents)"
        values = {"other": project.project_id, "question": halfvec_text(QUESTION), "documents": [far, few]}
        assert await stranger.rows(call, **values) == [(0,)]

    async def test_a_word_that_is_frequent_elsewhere_is_found(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project(embedder="none")
        theirs = await project.add("The heron and the walrus.")
        mine = await project.add("A walrus sleeps on the ice.")
        for document_id, owner in ((theirs, "bob"), (mine, "ada")):
            await add_file(project, document_id, {"owner": owner})
        heron, walrus = posting_id(project.project_id, "heron"), posting_id(project.project_id, "walrus")
        question = sparsevec_text(question_weights({"heron": 2.0, "walrus": 1.0}))

        async def found(generating: list[int], few: int) -> list[UUID]:
            candidates = await find_candidates(
                project.database,
                project.tenant_id,
                project.project_id,
                generating,
                question,
                None,
                None,
                within=self.MINE,
                few=few,
            )
            return [candidate.document_id for candidate in candidates]

        assert await found([heron], few=10) == [mine]  # all passages of my files are scored
        assert await found([heron], few=0) == []  # only those with a generating word are
        assert await found([heron, walrus], few=0) == [mine]


class TestMaintenance:
    async def test_processes_at_the_same_time_build_an_index_once(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes, database: Database, addresses: ServiceAddresses
    ) -> None:
        project = await rag_project(embedder="minilm")
        await add(project, LARGE)
        with capture_logs() as logs:
            await gather_all(*(each.maintain() for each in (indexes, maintenance(database, addresses))))
            await indexes.maintain()
        assert [line["event"] for line in logs].count("vector index built") == 1
        assert await scans(project) == 1

    async def test_an_interrupted_build_is_begun_again(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes, database: Database, addresses: ServiceAddresses
    ) -> None:
        project = await rag_project(embedder="minilm")
        await add(project, LARGE)
        async with database.tenant(project.tenant_id) as session:
            await session.execute(text("UPDATE chunks SET page = 1"))  # the build waits for this transaction
            building = asyncio.create_task(indexes.maintain())
            async with asyncio.timeout(30):
                while await built(project) == {}:
                    assert not building.done()
            assert await built(project) == {index_name(project.project_id): False}
            assert await scans(project) == 0
            await fetch(
                addresses.owner_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'",
            )
            with pytest.raises(DBAPIError):
                await building
        assert len(await search(project)) == CANDIDATES
        await indexes.maintain()
        assert await built(project) == {index_name(project.project_id): True}
        assert await scans(project) == 1

    async def test_the_index_of_a_project_that_shrinks_or_is_deleted_is_dropped(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes
    ) -> None:
        shrinking, deleted = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
        await add(shrinking, 60)
        removed = [await add(shrinking, LARGE // 3), await add(shrinking, LARGE // 3)]
        await add(deleted, LARGE)
        await indexes.maintain()
        assert len(await built(deleted)) == 2
        for document_id, left in zip(removed, (2, 1), strict=True):
            await shrinking.hide(document_id)
            await shrinking.purge(document_id)
            await deleted.rows("DELETE FROM projects WHERE id = :project" if left == 1 else "SELECT 1")
            await indexes.maintain()
            assert len(await built(shrinking)) == (2 if left == 2 else 0)

    async def test_a_migration_check_passes_over_them(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes, addresses: ServiceAddresses
    ) -> None:
        project = await rag_project(embedder="minilm")
        await add(project, LARGE)
        await indexes.maintain()
        await asyncio.to_thread(migrations.check, addresses)


class TestWithoutAnIndex:
    """Every passage is compared where no index can be built, and the log says why, once."""

    async def reasons(self, project: RagProject, indexes: VectorIndexes) -> list[str]:
        with capture_logs() as logs:
            await indexes.maintain()
            await indexes.maintain()
        assert await built(project) == {}
        assert len(await search(project)) == CANDIDATES
        return [line["reason"] for line in logs if line["log_level"] == "warning"]

    async def test_the_login_is_not_the_owner(
        self, rag_project: RagProjectFactory, database: Database, addresses: ServiceAddresses
    ) -> None:
        project = await rag_project(embedder="minilm")
        await add(project, LARGE)
        worker = maintenance(database, replace(addresses, owner_url=addresses.worker_url))
        assert await self.reasons(project, worker) == [
            f"the login {addresses.worker_url.username} does not own the table chunks"
        ]
        unknown = replace(addresses, owner_url=addresses.owner_url.set(password="wrong"))
        assert await self.reasons(project, maintenance(database, unknown)) == [
            f"the login {addresses.owner_url.username} is refused"
        ]

    async def test_pgvector_is_too_old(
        self, rag_project: RagProjectFactory, indexes: VectorIndexes, addresses: ServiceAddresses
    ) -> None:
        project = await rag_project(embedder="minilm")
        await add(project, LARGE)
        statement = "UPDATE pg_extension SET extversion = :new WHERE extname = 'vector'"
        version = (await fetch(addresses.owner_url, "SELECT extversion FROM pg_extension WHERE extname = 'vector'"))[0][
            0
        ]
        await fetch(addresses.owner_url, statement, new="0.7.4")
        try:
            assert await self.reasons(project, indexes) == ["pgvector 0.7.4 is older than 0.8"]
        finally:
            await fetch(addresses.owner_url, statement, new=version)
