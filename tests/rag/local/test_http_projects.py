"""Projects of the local engine whose embeddings come from a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.rag.local.embedders import LONGEST_KEPT
from fastapi_ignite.rag.local.embedding import EmbeddingModel
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.local.http_embedding import LANES
from fastapi_ignite.rag.local.repository import LocalIndexRepository
from support.embedding_server import EmbeddingServer, running_embedding_server, vector_of
from support.rag_projects import RagProject, RagProjectFactory

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

pytestmark = pytest.mark.usefixtures("nothing_left_to_embed")
PUMP = "The pump is made of brass. It may be returned within thirty days."
OFFICE = "Our laboratory in Porto was opened in 2019. Forty people work there."
QUESTION = "What is the pump made of?"


@pytest.fixture
async def server() -> AsyncGenerator[EmbeddingServer]:
    async with running_embedding_server() as running:
        yield running


def hosted(provider: RunningSimulator, **changes: object) -> EmbeddingSettings:
    settings = EmbeddingSettings(
        base_url=provider.base_url, model="text-embedding-3-small", api_key="sk-test", query_timeout_seconds=30
    )
    return settings.model_copy(update=changes)


async def drain(engine: LocalEngine) -> int:
    """Run the backfill until nothing is left, and return the number of steps."""
    steps = 0
    while await engine.backfill_embeddings():
        steps += 1
    return steps


async def pauses(project: RagProject) -> list[float]:
    """Return the seconds for which each paused document still waits, the oldest document first."""
    rows = await project.rows(
        "SELECT extract(epoch FROM embedding_lease_until - now())::float FROM documents "
        "WHERE project_id = :project AND embedding_lease_until > now() ORDER BY created_at"
    )
    return [row[0] for row in rows]


async def end_pauses(project: RagProject) -> None:
    """End the pauses of all documents."""
    await project.rows("UPDATE documents SET embedding_lease_until = NULL WHERE project_id = :project")


async def kept(project: RagProject) -> tuple[str, int | None]:
    row = (await project.rows("SELECT embedder, dimensions FROM rag_indexes WHERE project_id = :project"))[0]
    return row[0], row[1]


async def cosines(project: RagProject, question: str = QUESTION) -> list[float | None]:
    return [candidate.cosine for candidate in await project.candidates(question)]


async def test_passages_and_questions_are_compared_by_the_servers_vectors(
    rag_project: RagProjectFactory, provider: RunningSimulator
) -> None:
    project = await rag_project(embedder="http", embedding=hosted(provider, dimensions=64))
    pump, _ = await project.add(PUMP), await project.add(OFFICE)
    assert await kept(project) == ("http:text-embedding-3-small", 64)
    await project.backfill_embeddings()
    assert None not in await cosines(project)
    assert await project.best(QUESTION) == pump
    assert await project.quotes(QUESTION) == ["The pump is made of brass."]


async def test_a_server_that_finds_everything_alike_answers_nothing_that_the_words_do_not(
    rag_project: RagProjectFactory, server: EmbeddingServer
) -> None:
    server.embed = lambda _: vector_of("anything")
    project = await rag_project(embedder="http", embedding=server.settings())
    await project.add(PUMP)
    await project.backfill_embeddings()
    assert await cosines(project, "Who won the race in Rome?") == [pytest.approx(1, abs=0.001)]
    assert not (await project.ask("Who won the race in Rome?")).answerable
    assert await project.quotes(QUESTION) == ["The pump is made of brass."]


async def test_several_documents_are_embedded_at_a_time(
    rag_project: RagProjectFactory, server: EmbeddingServer
) -> None:
    project = await rag_project(embedder="http", embedding=server.settings())
    texts = [f"{number}. {OFFICE}" for number in range(8)]
    for text in texts:
        await project.add(text)
    assert await drain(project.engine) < len(texts)
    assert set((await project.embedded()).values()) == {1}
    assert sorted(server.texts) == texts


async def test_equal_texts_are_sent_once(rag_project: RagProjectFactory, server: EmbeddingServer) -> None:
    project = await rag_project(embedder="http", embedding=server.settings())
    paragraph = "The pump is made of brass. " * 30
    await project.add("\n\n".join([paragraph.strip()] * 3))
    await drain(project.engine)
    sibling = await project.sibling()
    await sibling.add(PUMP)
    await drain(project.engine)
    assert sorted(server.texts) == sorted(set(server.texts))
    sent = len(server.requests)
    await project.add(PUMP + "\n")
    await drain(project.engine)
    assert len(server.requests) == sent
    assert set((await project.embedded()).values()) == {1}


class TestOutages:
    async def test_nothing_is_lost_and_no_loop_runs_hot(
        self, rag_project: RagProjectFactory, server: EmbeddingServer
    ) -> None:
        project = await rag_project(embedder="http", embedding=server.settings())
        await project.add(PUMP)
        for number in range(2 * LANES):
            await project.add(f"{number}. {OFFICE}")
        server.status = 503
        assert await drain(project.engine) == 1
        asked = len(server.requests)
        assert asked <= LANES
        assert await project.quotes(QUESTION) == ["The pump is made of brass."]
        assert len(server.requests) == asked
        server.status = 200
        await end_pauses(project)
        second = LocalEngine(project.database, "http", server.settings())  # its circuit breaker has seen no failure
        await drain(second)
        await second.close()
        assert set((await project.embedded()).values()) == {1}

    async def test_a_document_rests_longer_after_each_failure(
        self, rag_project: RagProjectFactory, server: EmbeddingServer
    ) -> None:
        server.refuses = lambda texts: any("brass" in text for text in texts)
        project = await rag_project(embedder="http", embedding=server.settings())
        await project.add("brass " + "x" * 500)
        found = []
        for _ in range(7):
            await drain(project.engine)
            found += await pauses(project)
            await end_pauses(project)
        assert found == [pytest.approx(seconds, abs=20) for seconds in (30, 60, 120, 240, 480, 900, 900)]
        server.refuses = lambda _: False
        await drain(project.engine)
        assert await project.rows("SELECT embedding_failures FROM documents WHERE project_id = :project") == [(0,)]

    async def test_as_long_as_the_server_wishes(
        self, rag_project: RagProjectFactory, provider: RunningSimulator
    ) -> None:
        fault = {"route": "embeddings.create", "kind": "status", "status": 429, "retry_after": 400}
        provider.simulator.faults.add(Fault.model_validate(fault))
        project = await rag_project(embedder="http", embedding=hosted(provider))
        await project.add(PUMP)
        await drain(project.engine)
        assert await pauses(project) == [pytest.approx(400, abs=20)]

    async def test_one_passage_the_model_does_not_take_stops_no_other(
        self, rag_project: RagProjectFactory, server: EmbeddingServer
    ) -> None:
        server.refuses = lambda texts: any("poison" in text for text in texts)
        project = await rag_project(embedder="http", embedding=server.settings())
        poisoned = await project.add("poison " * 120 + "\n\n" + PUMP * 12 + "\n\n" + OFFICE * 12)
        healthy = await project.add(OFFICE)
        await drain(project.engine)
        shares = await project.embedded()
        assert 0 < shares[poisoned] < 1
        assert shares[healthy] == 1
        assert len(await pauses(project)) == 1

    async def test_a_project_made_while_the_server_is_away_is_embedded_later(
        self, rag_project: RagProjectFactory, server: EmbeddingServer
    ) -> None:
        project = await rag_project(embedder="http", embedding=server.settings())
        await project.add(PUMP)
        assert await kept(project) == (f"http:{server.model}", None)
        assert await cosines(project) == [None]
        assert server.requests == []
        await drain(project.engine)
        assert await kept(project) == (f"http:{server.model}", 8)
        assert None not in await cosines(project)


class TestOtherModels:
    @pytest.mark.parametrize("changes", [{"model": "other"}, {"dimensions": 4}, None])
    async def test_a_project_whose_model_is_not_set_up_any_more_is_searched_by_words(
        self, rag_project: RagProjectFactory, server: EmbeddingServer, changes: dict[str, object] | None
    ) -> None:
        before = await rag_project(embedder="http", embedding=server.settings())
        await before.add(PUMP)
        await drain(before.engine)
        waiting = await before.add(OFFICE)
        server.requests.clear()
        engine = LocalEngine(before.database, "none", None if changes is None else server.settings(**changes))
        now = RagProject(before.database, engine, before.tenant_id, before.project_id)
        with capture_logs() as logs:
            assert await cosines(now) == [None]
            assert await now.quotes(QUESTION) == ["The pump is made of brass."]
        assert [line["embedder"] for line in logs if "not set up" in line["event"]] == [f"http:{server.model}"]
        assert set((await now.embedded()).values()) == {0}
        assert await drain(engine) == 0
        assert server.requests == []
        await engine.close()
        assert (await before.embedded())[waiting] == 0
        await drain(before.engine)
        assert set((await before.embedded()).values()) == {1}

    async def test_a_server_whose_vectors_have_become_longer_is_not_compared_with_what_it_said_before(
        self, rag_project: RagProjectFactory, server: EmbeddingServer
    ) -> None:
        before = await rag_project(embedder="http", embedding=server.settings())
        await before.add(PUMP)
        await drain(before.engine)
        late = await before.add(OFFICE)
        server.embed = lambda text: vector_of(text, 9)
        engine = LocalEngine(before.database, "http", server.settings())
        now = RagProject(before.database, engine, before.tenant_id, before.project_id)
        assert await now.quotes(QUESTION) == ["The pump is made of brass."]
        assert await drain(engine) == 0
        assert set((await now.embedded()).values()) == {0}
        await engine.close()
        assert await lengths(before) == {8}
        assert (await before.embedded())[late] == 0

    async def test_vectors_of_another_length_are_not_stored(
        self, rag_project: RagProjectFactory, server: EmbeddingServer
    ) -> None:
        before = await rag_project(embedder="http", embedding=server.settings())
        await before.add(PUMP)
        await drain(before.engine)
        await before.add(OFFICE)
        server.embed = lambda text: vector_of(text, 9)
        engine = LocalEngine(before.database, "http", server.settings())
        assert await drain(engine) == 1  # the answer to this request revealed it
        await engine.close()
        assert await lengths(before) == {8}
        assert len(await pauses(before)) == 1

    async def test_of_two_first_lengths_one_stays(
        self, rag_project: RagProjectFactory, server: EmbeddingServer
    ) -> None:
        project = await rag_project(embedder="http", embedding=server.settings())
        added = await project.add(PUMP)
        settled = []
        for dimensions in (8, 9, 8):
            async with project.database.tenant(project.tenant_id) as session:
                index = LocalIndexRepository(session, project.tenant_id)
                model = EmbeddingModel(f"http:{server.model}", dimensions)
                settled.append(await index.settle_dimensions(added, model))
        assert settled == [True, False, True]
        await drain(project.engine)

    @pytest.mark.parametrize("changes", [{"model": "other"}, {"dimensions": 8}])
    async def test_models_do_not_lend_each_other_vectors(
        self, rag_project: RagProjectFactory, server: EmbeddingServer, changes: dict[str, object]
    ) -> None:
        server.embed = lambda text: vector_of(text, 6)
        first = await rag_project(embedder="http", embedding=server.settings())
        await first.add(PUMP)
        await drain(first.engine)
        server.embed = lambda text: vector_of(text, 8)
        engine = LocalEngine(first.database, "http", server.settings(**changes))
        second = await first.sibling(engine)
        await second.add(PUMP)
        await drain(engine)
        await engine.close()
        assert (await lengths(first), await lengths(second)) == ({6}, {8})


async def lengths(project: RagProject) -> set[int]:
    """Return the different lengths of the project's vectors."""
    rows = await project.rows(
        "SELECT DISTINCT vector_dims(embedding) FROM chunks WHERE project_id = :project AND embedding IS NOT NULL"
    )
    return {row[0] for row in rows}


class TestQuestionsAskedAgain:
    """The vector of a question is kept for its tenant."""

    @pytest.fixture
    async def project(self, rag_project: RagProjectFactory, server: EmbeddingServer) -> RagProject:
        """Return a project of the server, which knows how many numbers its vectors have."""
        made = await rag_project(embedder="http", embedding=server.settings(dimensions=8))
        await made.add(PUMP)
        await made.backfill_embeddings()
        server.requests.clear()
        return made

    async def test_a_question_is_embedded_once(self, project: RagProject, server: EmbeddingServer) -> None:
        first, again = await project.candidates(QUESTION), await project.candidates(QUESTION)
        assert first == again
        assert None not in [candidate.cosine for candidate in again]
        assert server.texts == [QUESTION]

    async def test_callers_at_once_share_an_embedding(self, project: RagProject, server: EmbeddingServer) -> None:
        found = await asyncio.gather(*(project.candidates(QUESTION) for _ in range(5)))
        assert all(each == found[0] for each in found)
        assert server.texts == [QUESTION]

    async def test_another_tenant_does_not_learn_of_it(
        self, project: RagProject, server: EmbeddingServer, make_project: Callable[[], Awaitable[tuple[UUID, UUID]]]
    ) -> None:
        other = RagProject(project.database, project.engine, *await make_project())
        await other.engine.create_index(other.tenant_id, other.project_id)
        await other.add(PUMP)
        await project.candidates(QUESTION)
        await other.candidates(QUESTION)
        assert server.texts == [QUESTION, QUESTION]

    async def test_a_failure_is_not_kept(self, project: RagProject, server: EmbeddingServer) -> None:
        server.refuses = lambda _: True
        assert await cosines(project) == [None]
        server.refuses = lambda _: False
        assert None not in await cosines(project)

    async def test_a_long_question_is_not_kept(self, project: RagProject, server: EmbeddingServer) -> None:
        long = f"{QUESTION} {'Brass or iron? ' * LONGEST_KEPT}"[: LONGEST_KEPT + 1]
        for _ in range(2):
            await project.candidates(long)
        assert len(server.requests) == 2
