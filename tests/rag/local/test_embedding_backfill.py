"""Embeddings that are computed in the background."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.local.minilm import MiniLmEmbedder
from fastapi_ignite.rag.local.repository import SMALL_DOCUMENT_CHUNKS, SMALL_DOCUMENTS
from support.rag_projects import RagProject, RagProjectFactory

pytestmark = pytest.mark.usefixtures("nothing_left_to_embed")
EMBED_BATCH = MiniLmEmbedder.batch
LARGE = SMALL_DOCUMENT_CHUNKS + 1
MARKER = "[" + ",".join(["1"] + ["0"] * 383) + "]"


@pytest.fixture
async def second_process(addresses: ServiceAddresses) -> AsyncIterator[LocalEngine]:
    """Return another engine with its own connections, in place of a second process."""
    database = Database(addresses.worker_url, pool_size=2)
    yield LocalEngine(database, embedder="minilm")
    await database.close()


def body(number: int, paragraphs: int = 1) -> str:
    """Return a text with one chunk for each paragraph; all paragraphs differ."""
    return "\n\n".join(
        f"Paragraph {part} of document {number} is about subject {number * 100 + part}. " + "It is long. " * 45
        for part in range(paragraphs)
    )


async def drain(engine: LocalEngine) -> int:
    """Run the backfill until nothing is left, and return the number of batches."""
    batches = 0
    while await engine.backfill_embeddings():
        batches += 1
    return batches


async def unembedded(project: RagProject) -> list[tuple[int, int]]:
    """Return for each document the recorded number of chunks without an embedding, and a recount."""
    return [
        (recorded, counted)
        for recorded, counted in await project.rows(
            "SELECT unembedded_count, (SELECT count(*) FROM chunks WHERE document_id = documents.id "
            "AND embedding IS NULL) FROM documents WHERE project_id = :project ORDER BY created_at"
        )
    ]


async def test_a_document_is_embedded_batch_by_batch(rag_project: RagProjectFactory) -> None:
    project = await rag_project(embedder="minilm")
    added = await project.add(body(1, EMBED_BATCH + 4))
    chunks = (await project.rows("SELECT chunk_count FROM documents WHERE id = :id", id=added))[0][0]
    assert EMBED_BATCH < chunks <= 2 * EMBED_BATCH
    assert await project.engine.backfill_embeddings()
    assert await unembedded(project) == [(chunks - EMBED_BATCH, chunks - EMBED_BATCH)]
    assert await project.embedded() == {added: pytest.approx(EMBED_BATCH / chunks)}
    assert await drain(project.engine) == 1
    assert await project.embedded() == {added: 1}


async def test_two_processes_embed_each_document_once(
    rag_project: RagProjectFactory, second_process: LocalEngine
) -> None:
    projects = [await rag_project(embedder="minilm") for _ in range(2)]
    for number in range(8):
        await projects[number % 2].add(body(number, LARGE))
    batches = await asyncio.gather(drain(projects[0].engine), drain(second_process))
    assert sum(batches) == 8
    assert all(batches)
    for project in projects:
        assert await unembedded(project) == [(0, 0)] * 4


async def test_the_oldest_document_of_any_tenant_comes_first(rag_project: RagProjectFactory) -> None:
    first, second = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
    await first.add(body(1, LARGE))
    await second.add(body(2, LARGE))
    await first.add(body(3, LARGE))
    left, done = (LARGE, LARGE), (0, 0)
    await first.engine.backfill_embeddings()
    assert [await unembedded(project) for project in (first, second)] == [[done, left], [left]]
    await first.engine.backfill_embeddings()
    assert [await unembedded(project) for project in (first, second)] == [[done, left], [done]]


async def test_small_documents_of_a_project_are_embedded_together(rag_project: RagProjectFactory) -> None:
    project, other = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
    for number in range(SMALL_DOCUMENTS + 2):
        await project.add(f"Note {number} is short.")
    await other.add("A note of another tenant.")
    assert await project.engine.backfill_embeddings()
    assert Counter(await unembedded(project)) == {(0, 0): SMALL_DOCUMENTS, (1, 1): 2}
    assert await unembedded(other) == [(1, 1)]
    assert await drain(project.engine) == 2


async def test_hidden_documents_and_those_without_a_model_are_left_out(rag_project: RagProjectFactory) -> None:
    project, plain = await rag_project(embedder="minilm"), await rag_project(embedder="none")
    await project.hide(await project.add(body(1)))
    await plain.add(body(2))
    assert not await project.engine.backfill_embeddings()


async def test_a_document_hidden_while_the_model_works_ends_nothing_else(rag_project: RagProjectFactory) -> None:
    project = await rag_project(embedder="minilm")
    hidden = await project.add(body(1))
    working = asyncio.create_task(project.engine.backfill_embeddings())
    async with asyncio.timeout(60):
        while await project.rows("SELECT 1 FROM documents WHERE embedding_lease_until IS NOT NULL") == []:
            assert not working.done()
    await project.hide(hidden)
    assert await working
    await project.add(body(2))
    assert await drain(project.engine) == 1
    await project.purge(hidden)
    assert await unembedded(project) == [(0, 0)]


async def test_the_work_of_a_dead_process_is_taken_over_when_its_lease_ends(rag_project: RagProjectFactory) -> None:
    project = await rag_project(embedder="minilm")
    added = await project.add(body(1))
    await lease(project, added, "now() + interval '1 minute'")
    assert not await project.engine.backfill_embeddings()
    await lease(project, added, "now() - interval '1 second'")
    assert await project.engine.backfill_embeddings()
    assert await unembedded(project) == [(0, 0)]


async def lease(project: RagProject, document_id: UUID, until: str) -> None:
    await project.rows(
        f"UPDATE documents SET embedding_lease_until = {until} WHERE id = :id",  # noqa: S608  # a constant of this test
        id=document_id,
    )


class TestEqualTexts:
    async def embeddings(self, project: RagProject) -> set[str]:
        rows = await project.rows("SELECT embedding::text FROM chunks WHERE project_id = :project")
        return {row[0] for row in rows}

    async def test_a_text_is_embedded_once_for_a_tenant_and_anew_for_another(
        self, rag_project: RagProjectFactory
    ) -> None:
        first, stranger = await rag_project(embedder="minilm"), await rag_project(embedder="minilm")
        await first.add(body(1))
        await first.backfill_embeddings()
        await first.rows(
            "UPDATE chunks SET embedding = CAST(:marker AS text)::halfvec WHERE project_id = :project", marker=MARKER
        )
        second = await first.sibling()
        await second.add(body(1))
        await stranger.add(body(1))
        await drain(first.engine)
        assert await self.embeddings(second) == {MARKER}
        assert MARKER not in await self.embeddings(stranger)

    async def test_a_project_of_another_model_does_not_lend_its_own(self, rag_project: RagProjectFactory) -> None:
        first = await rag_project(embedder="minilm")
        await first.add(body(1))
        await first.backfill_embeddings()
        await first.rows("UPDATE chunks SET embedding = CAST(:m AS text)::halfvec", m=MARKER)
        await first.rows("UPDATE rag_indexes SET embedder = 'another' WHERE project_id = :project")
        second = await first.sibling()
        await second.add(body(1))
        await drain(first.engine)
        assert MARKER not in await self.embeddings(second)
