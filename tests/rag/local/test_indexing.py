"""Tests of what the index contains after documents are written, hidden and purged."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from fastapi_ignite.core.errors import NotFoundError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.extraction import ExtractedText
from fastapi_ignite.rag.local import engine as local_engine
from support.rag_projects import RagProject, RagProjectFactory, gather_all

WORDS = [f"{first}{last}ub" for first in "bdfgklmnp" for last in "aeiou"]


def document(seed: int, paragraphs: int) -> str:
    """Return a text with about one chunk for each paragraph, in words that all documents share."""
    chance = random.Random(seed)
    return "\n\n".join(" ".join(chance.choices(WORDS, k=120)) for _ in range(paragraphs))


async def test_chunks_are_the_document_in_order(rag_project: RagProjectFactory) -> None:
    project = await rag_project()
    body = document(1, 5)
    added = await project.add(body)
    rows = await project.rows(
        "SELECT ordinal, char_start, char_end, text FROM chunks WHERE document_id = :id ORDER BY ordinal", id=added
    )
    assert [row[0] for row in rows] == list(range(len(rows)))
    assert all(body[start:end] == text for _, start, end, text in rows)
    await project.assert_counts_are_exact(chunks=len(rows))


async def test_an_empty_document_is_a_document_without_chunks(rag_project: RagProjectFactory) -> None:
    project = await rag_project()
    added = await project.add("")
    await project.assert_counts_are_exact(chunks=0)
    await project.hide(added)
    assert await project.purge(added) == 0
    assert await project.rows("SELECT id FROM documents WHERE project_id = :project") == []


async def test_counts_stay_exact_while_documents_come_and_go(rag_project: RagProjectFactory) -> None:
    project = await rag_project()

    async def come_and_go(seed: int) -> int:
        added = await project.add(document(seed, 1 + seed % 4))
        if seed % 3 == 0:
            return 0
        await project.hide(added)
        if seed % 3 == 1:
            return 0
        # two workers may receive the same message
        return sum(await gather_all(project.purge(added), project.purge(added)))

    removed = await gather_all(*(come_and_go(seed) for seed in range(18)))
    assert all(count > 0 for seed, count in enumerate(removed) if seed % 3 == 2)
    await project.assert_counts_are_exact()
    documents = await project.rows("SELECT id FROM documents WHERE project_id = :project AND hidden_at IS NULL")
    assert len(documents) == 6

    rest: list[UUID] = [row[0] for row in await project.rows("SELECT id FROM documents WHERE project_id = :project")]
    await gather_all(*(project.hide(each) for each in rest))
    await gather_all(*(project.purge(each) for each in rest))
    await project.assert_counts_are_exact(chunks=0)
    assert await project.rows("SELECT term FROM term_stats WHERE project_id = :project") == []


async def test_writers_of_one_project_take_turns_and_those_of_another_do_not_wait(
    rag_project: RagProjectFactory,
) -> None:
    project, other = await rag_project(), await rag_project()
    removed = await project.add(document(1, 2))
    await project.hide(removed)
    source = DocumentSource(
        project.tenant_id, project.project_id, new_id(), b"x", ExtractedText(document(2, 1), None, "text/plain")
    )
    prepared = await project.engine.prepare(source)
    async with project.database.tenant(project.tenant_id) as session:
        await prepared.write(session)
        waiting = [asyncio.create_task(project.purge(removed)), asyncio.create_task(project.add(document(3, 1)))]
        async with asyncio.timeout(60):
            turns = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while await project.rows(turns) != [(2,)]:
                assert not any(each.done() for each in waiting)
            await other.add(document(4, 1))
    await gather_all(*waiting)
    await project.assert_counts_are_exact()


async def test_a_large_document_is_purged_in_steps_and_a_killed_purge_is_resumed(
    rag_project: RagProjectFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await rag_project()
    body = document(2, 30)
    added = await project.add(body)
    kept = await project.add(document(3, 3))
    written = (await project.rows("SELECT chunk_count FROM documents WHERE id = :id", id=added))[0][0]
    await project.hide(added)
    monkeypatch.setattr(local_engine, "PURGE_BATCH", 7)
    purging = asyncio.create_task(project.purge(added))
    count = "SELECT count(*) FROM chunks WHERE document_id = :id"
    while await project.rows(count, id=added) == [(written,)]:
        assert not purging.done()
    purging.cancel()
    await asyncio.wait([purging])
    await project.assert_counts_are_exact()

    left = (await project.rows(count, id=added))[0][0]
    assert await project.purge(added) == left < written
    assert await project.purge(added) == 0
    await project.assert_counts_are_exact()
    assert await project.rows("SELECT id FROM documents WHERE project_id = :project") == [(kept,)]


async def test_a_write_that_fails_leaves_nothing(rag_project: RagProjectFactory) -> None:
    project = await rag_project()
    body = document(4, 3)
    await project.add(body)
    with pytest.raises(IntegrityError):  # a project has one document for equal bytes
        await project.add(body)
    assert (await project.rows("SELECT count(*) FROM documents WHERE project_id = :project"))[0] == (1,)
    await project.assert_counts_are_exact()


async def test_a_visible_document_is_not_purged(rag_project: RagProjectFactory) -> None:
    project = await rag_project()
    added = await project.add(document(5, 2))
    assert await project.purge(added) == 0
    assert len(await project.candidates(WORDS[0])) > 0


async def test_a_project_without_an_index_takes_no_document(rag_project: RagProjectFactory) -> None:
    project = await rag_project()
    source = DocumentSource(project.tenant_id, new_id(), new_id(), b"x", ExtractedText("baub", None, "text/plain"))
    prepared = await project.engine.prepare(source)
    with pytest.raises(NotFoundError):
        async with project.database.tenant(project.tenant_id) as session:
            await prepared.write(session)


async def test_two_callers_make_one_index(rag_project: RagProjectFactory) -> None:
    project = await rag_project()

    async def make() -> str:
        return await project.engine.create_index(project.tenant_id, project.project_id)

    assert len(set(await gather_all(*(make() for _ in range(5))))) == 1


class TestEqualBytes:
    @staticmethod
    async def find(project: RagProject, body: str) -> UUID | None:
        """Return the document that an upload of these bytes finds, and lock it as the upload does."""
        async with project.database.tenant(project.tenant_id) as session:
            digest = (await project.rows("SELECT sha256(convert_to(:body, 'UTF8'))", body=body))[0][0]
            return await DocumentRepository(session, project.tenant_id).find(project.project_id, digest)

    async def test_a_live_document_is_found_and_a_hidden_one_is_not(self, rag_project: RagProjectFactory) -> None:
        project, other = await rag_project(), await rag_project()
        added = await project.add("baub daub")
        assert await self.find(project, "baub daub") == added
        assert await self.find(project, "baub") is None
        assert await self.find(other, "baub daub") is None
        await project.hide(added)
        assert await self.find(project, "baub daub") is None

    async def test_hiding_waits_for_a_caller_who_found_it(self, rag_project: RagProjectFactory) -> None:
        project = await rag_project()
        added = await project.add("baub daub")
        digest = (await project.rows("SELECT sha256 FROM documents WHERE id = :id", id=added))[0][0]
        async with project.database.tenant(project.tenant_id) as session:
            assert await DocumentRepository(session, project.tenant_id).find(project.project_id, digest) == added
            hiding = asyncio.create_task(project.hide(added))
            async with asyncio.timeout(60):
                while await project.rows("SELECT 1 FROM pg_locks WHERE NOT granted") == []:
                    assert not hiding.done()
        await hiding
