"""Searches of a vector store: the request, which results are trusted, and what a failure becomes."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import pytest
from openai import AsyncOpenAI

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.rag.extraction.structure import spans_to_json
from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from fastapi_ignite.rag.llm.failures import FAILURES_IN_A_ROW
from fastapi_ignite.rag.openai import repository
from fastapi_ignite.rag.openai.passage_lookup import ProjectTexts
from fastapi_ignite.rag.openai.response_parsing import Excerpt, split_excerpts
from fastapi_ignite.rag.text.outline import Outline
from rag.openai.hosted_tenant import HostedTenant
from rag.openai.sample_project import SHEEP, TREES, SampleProject
from support.http_clients import TenantClient, client_for
from support.tenant_records import counter

from openai_simulator.server import RunningSimulator

QUERY = "apple trees in the orchard"


@pytest.fixture
async def sdk(provider: RunningSimulator) -> AsyncGenerator[AsyncOpenAI]:
    """Return a client with the account's key, as its owner would use it."""
    async with AsyncOpenAI(base_url=provider.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


async def search(sample: SampleProject, query: str = QUERY, **wanted: object) -> list[dict[str, Any]]:
    answer = await sample.hosted.api.search(sample.project, query, **wanted)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def test_what_is_sent(sample: SampleProject) -> None:
    """The query is sent unchanged, with a filter for the project, and no model rewrites or answers it."""
    await search(sample, limit=7)
    (record,) = [each for each in sample.provider.simulator.journal.records if each["route"] == "vector_stores.search"]
    assert record["path"].endswith(f"/{await sample.store()}/search")
    assert record["body"] == {
        "query": QUERY,
        "filters": {"type": "eq", "key": "project_id", "value": sample.project},
        "max_num_results": 7,
        "rewrite_query": False,
    }
    assert sample.provider.simulator.state.created()["responses"] == 0


@pytest.mark.parametrize(("wanted", "asked"), [({"limit": 100}, 50), ({"limit": 3, "per_file": 1}, 50)])
async def test_the_provider_is_asked_for_no_more_than_it_has(
    sample: SampleProject, wanted: dict[str, Any], asked: int
) -> None:
    await search(sample, **wanted)
    (record,) = [each for each in sample.provider.simulator.journal.records if each["route"] == "vector_stores.search"]
    assert record["body"]["max_num_results"] == asked


async def test_a_project_without_a_store_asks_nobody(hosted: HostedTenant, provider: RunningSimulator) -> None:
    project = await hosted.api.create_project()
    assert (await hosted.api.search(project, QUERY)).json() == {"results": [], "engine": "openai"}
    assert provider.simulator.journal.calls["vector_stores.search"] == 0


@pytest.mark.parametrize("whose", ["another project's", "its own"])
async def test_a_file_that_is_not_ours_takes_no_part(sample: SampleProject, sdk: AsyncOpenAI, whose: str) -> None:
    """Either the provider's filter leaves it out, or it belongs to no document."""
    stray = await sdk.files.create(
        file=("stray.txt", f"{TREES} {TREES} Says a stranger.".encode()), purpose="assistants"
    )
    project = sample.project if whose == "its own" else str(new_id())
    attached = await sdk.vector_stores.files.create_and_poll(
        stray.id, vector_store_id=await sample.store(), attributes={"project_id": project}, poll_interval_ms=10
    )
    assert attached.status == "completed"
    wanted: dict[str, Any] = {
        "query": "apple trees, says a stranger",
        "limit": 1 if whose == "another project's" else 50,
    }
    results = await search(sample, **wanted)
    assert [found["text"] for found in results] == [TREES]


async def remove_the_trees(sample: SampleProject) -> None:
    """Remove the first file through the API; no worker deletes it at the provider."""
    path = f"/ingestion/projects/{sample.project}/remove_file"
    await sample.hosted.api.delete(path, params={"openai_file_id": str(sample.files[0])})
    assert sample.provider.simulator.state.existing()["vector_store_files"] == 2


async def test_a_removed_file_is_left_out_at_the_provider(sample: SampleProject) -> None:
    """Otherwise it would take the place of an existing file in the results."""
    query = "apple trees in the orchard, sheep in the meadow"
    assert [found["text"] for found in await search(sample, query, limit=1)] == [TREES]
    await remove_the_trees(sample)
    assert [found["text"] for found in await search(sample, query, limit=1)] == [SHEEP]


async def test_what_the_provider_finds_of_it_all_the_same_never_leaves(
    sample: SampleProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is removed while the provider searches."""
    monkeypatch.setattr(repository, "MOST_WITHDRAWN", 0)
    await remove_the_trees(sample)
    engine, tenant_id = sample.hosted.engine, sample.hosted.api.id
    assert list(await engine.search(tenant_id, UUID(sample.project), QUERY, 10)) == []
    assert await search(sample) == []


class TestLocating:
    """A provider may join or space found text in its own way, but the results must be our stored text."""

    TEXT = (
        "Notes\n\nThe orchard keeps\nnine apple trees.\n\nThe owl sleeps.\n\nPears are apart.\n\n"
        "Night falls\non all.\n\nBees hum loudly."
    )

    @pytest.fixture
    async def sample(self, hosted: HostedTenant, provider: RunningSimulator) -> SampleProject:
        project = await hosted.api.create_project()
        files = await hosted.ingest(project, ("notes.md", self.TEXT.encode()))
        return SampleProject(hosted, provider, project, files)

    async def respace(self, sample: SampleProject, text: str) -> None:
        sample.provider.simulator._texts[await self.provider_id(sample)] = text

    async def provider_id(self, sample: SampleProject) -> str:
        (row,) = await sample.hosted.rows("SELECT provider_id FROM provider_files")
        return str(row["provider_id"])

    async def test_a_chunk_that_stands_there_is_one_result(self, sample: SampleProject) -> None:
        assert [found["text"] for found in await search(sample)] == [self.TEXT]

    async def test_of_one_spaced_anew_neighbouring_sentences_are_one_result(self, sample: SampleProject) -> None:
        said = "The orchard keeps nine trees. The owl sleeps.    Pears are apart. Night falls on all. Bees hum loudly."
        await self.respace(sample, said)
        results = await search(sample)
        assert [found["text"] for found in results] == ["The owl sleeps.\n\nPears are apart.", "Bees hum loudly."]
        for found in results:
            assert self.TEXT[found["char_start"] : found["char_end"]] == found["text"]

    async def test_no_connection_waits_while_it_is_split(
        self, sample: SampleProject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The event loop must not wait either: a provider may send twenty long excerpts."""
        pool: Any = sample.hosted.database.engine.pool
        seen: list[tuple[int, bool]] = []

        def observed(excerpts: Sequence[Excerpt]) -> list[Excerpt]:
            seen.append((pool.checkedout(), threading.current_thread() is threading.main_thread()))
            return split_excerpts(excerpts)

        monkeypatch.setattr("fastapi_ignite.rag.openai.passage_lookup.split_excerpts", observed)
        located = await ProjectTexts(sample.hosted.database, sample.hosted.api.id, UUID(sample.project)).locate(
            [Excerpt(await self.provider_id(sample), "Apple trees are here.  The owl sleeps.", 0.5)]
        )
        assert [passage.text for _, passage in located] == ["The owl sleeps."]
        assert seen == [(0, False)]

    async def test_of_one_put_together_each_stretch_is_a_result(self, sample: SampleProject) -> None:
        await self.respace(
            sample, "Bees hum loudly. Apple trees were not. The owl sleeps. Nor was it. Bees hum loudly."
        )
        results = await search(sample)
        assert [found["text"] for found in results] == ["Bees hum loudly.", "The owl sleeps."]
        assert len(await search(sample, limit=1)) == 1
        assert await search(sample, per_file=1) == results[:1]

    async def test_what_stands_nowhere_does_not_leave(self, sample: SampleProject) -> None:
        await self.respace(sample, "Apple trees were never said to be here, nor an orchard.")
        assert await search(sample) == []


class TestStructure:
    """A passage that the provider has found knows as much of its document as one that we have found."""

    async def test_headings_and_columns_though_they_stand_far_above(self, hosted: HostedTenant) -> None:
        builder = TextBuilder()
        for letter in "AB":
            builder.heading(f"Part {letter}", 1)
            builder.heading(f"Barrels of {letter}", 2)
            rows = [
                ["Article", "Deposit"],
                *([f"Barrel {letter}{number}", f"{number} florins"] for number in range(90)),
            ]
            builder.table(rows, header_rows=1)
            builder.list_item(f"- Barrels of {letter} are round.")
        text = builder.text
        project = await hosted.api.create_project()
        await hosted.ingest(project, ("barrels.txt", text.encode()))
        await hosted.rows(
            "UPDATE documents SET spans = CAST(:spans AS jsonb)", spans=json.dumps(spans_to_json(builder.spans))
        )
        (file,) = await hosted.rows("SELECT provider_id FROM provider_files")
        words = [
            "Part B\n\nBarrels of B",
            "Barrel A0\t0",
            "Barrel A80\t80 florins\nBarrel A81",
            "Barrel B89",
            "A are round",
        ]
        texts = ProjectTexts(hosted.database, hosted.api.id, UUID(project))
        located = await texts.locate([Excerpt(str(file["provider_id"]), each, 0.5) for each in words])
        assert [passage.text for _, passage in located] == words
        outline = Outline(text, builder.spans)
        for _, passage in located:
            assert passage.surroundings == outline.surroundings(passage.char_start, passage.char_end)
        below = located[2][1]
        assert below.headings == ("Part A", "Barrels of A")
        assert below.column_names(below.char_start) == ("Article", "Deposit")


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [
            ({"kind": "status", "status": 400}, 502, "provider_rejected"),
            ({"kind": "status", "status": 401}, 502, "provider_auth"),
            ({"kind": "status", "status": 404}, 409, "store_missing"),
            ({"kind": "status", "status": 408}, 504, "provider_timeout"),
            ({"kind": "status", "status": 429, "retry_after": 7}, 503, "provider_rate_limited"),
            ({"kind": "status", "status": 429, "code": "insufficient_quota"}, 503, "provider_quota"),
            ({"kind": "status", "status": 500}, 502, "provider_failed"),
            ({"kind": "status", "status": 503}, 503, "provider_unavailable"),
            ({"kind": "reset"}, 502, "provider_failed"),
            ({"kind": "timeout"}, 504, "provider_timeout"),
            ({"kind": "no_endpoint"}, 502, "provider_failed"),
        ],
    )
    async def test_each_has_its_code(
        self, sample: SampleProject, fault: dict[str, Any], status: int, code: str
    ) -> None:
        sample.fail("vector_stores.search", **fault)
        answer = await sample.hosted.api.search(sample.project, QUERY)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers.get("retry-after") == ("7" if "retry_after" in fault else None)
        assert await sample.state() == "ready", "a store that is there is not lost"
        assert await counter(sample.hosted.database, sample.hosted.api.id, "messages") == (0, 0)

    async def test_an_outage_is_asked_about_once_in_a_while(self, sample: SampleProject) -> None:
        """Searches and questions share one circuit breaker, because they use the same provider."""
        sample.fail("vector_stores.search", "status", status=500, times=100)
        answers = [await sample.hosted.api.search(sample.project, QUERY) for _ in range(FAILURES_IN_A_ROW + 1)]
        codes = [answer.json()["code"] for answer in answers]
        assert codes == ["provider_failed"] * FAILURES_IN_A_ROW + ["provider_unavailable"]
        assert answers[-1].headers["retry-after"]
        assert (await sample.hosted.api.ask(sample.project, QUERY)).json()["code"] == "provider_unavailable"

    @pytest.mark.parametrize("how", ["expire", "vanish"])
    async def test_a_store_that_is_gone_is_noticed_and_found_again(self, sample: SampleProject, how: str) -> None:
        await sample.lose(how)
        for _ in range(2):
            refused = await sample.hosted.api.search(sample.project, QUERY)
            assert (refused.status_code, refused.json()["code"]) == (409, "store_missing")
            assert "is being rebuilt" in refused.json()["detail"]
            assert int(refused.headers["retry-after"]) > 0
            assert await sample.state() == "lost"
        assert sample.provider.simulator.journal.calls["vector_stores.search"] == 1, "the second asked nobody"
        await sample.hosted.rebuild(sample.project)
        assert [found["text"] for found in await search(sample)] == [TREES]

    async def test_a_project_whose_key_was_taken_away_is_told_so(
        self, sample: SampleProject, settings: Settings, state: AppState
    ) -> None:
        hosted = sample.hosted
        async with client_for(settings, {**state, "engines": {"local": state["engines"]["local"]}}) as keyless:
            answer = await TenantClient(hosted.api.id, keyless, hosted.api.headers).search(sample.project, QUERY)
        assert (answer.status_code, answer.json()["code"]) == (503, "engine_missing")
