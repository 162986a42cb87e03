"""Answers of OpenAI's models that are sent while they are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.rag.engine import Cited, SourcesFound, Text
from fastapi_ignite.rag.llm.streamed_answer import StreamedAnswer
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from fastapi_ignite.rag.openai.passage_lookup import ProjectTexts
from fastapi_ignite.rag.openai.stream_progress import StreamProgress
from rag.openai.hosted_tenant import HostedTenant
from support.http_clients import Event, TenantClient, served_client
from support.tenant_records import counter, eventually

from openai_simulator.faults import Fault
from openai_simulator.server import RunningSimulator

TREES, PEARS = "The orchard keeps nine apple trees.", "The orchard keeps four pear trees."
QUESTION = "How many trees does the orchard keep?"
# the events are: created, in_progress, five of the search, and two for the begin of the message
BEFORE_THE_WORDS = 9
WORDS = 7
STREAMS = 25  # a process opens at most 20 connections


@pytest.fixture
async def caller(
    hosted: HostedTenant, hosted_settings: Settings, state: AppState, engine: OpenAIEngine
) -> AsyncGenerator[TenantClient]:
    """Return the tenant as a client of an API behind a real server."""
    async with served_client(hosted_settings, {**state, "engines": {engine.name: engine}}) as client:
        yield TenantClient(hosted.api.id, client, hosted.api.headers)


@pytest.fixture
async def project(hosted: HostedTenant) -> str:
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("orchard.txt", f"{TREES} {PEARS}".encode()))
    return project


def fail(provider: RunningSimulator, kind: str, *, words: int, **fault: Any) -> None:
    """Make the next answer fail after `words` of its words."""
    given = {"route": "responses.create", "kind": kind, "after_events": BEFORE_THE_WORDS + words, **fault}
    provider.simulator.faults.add(Fault.model_validate(given))


def kinds(events: list[Event]) -> list[str]:
    return [kind for kind, _ in events]


async def test_a_sentence_leaves_with_its_proof_while_the_model_goes_on(
    hosted: HostedTenant, caller: TenantClient, project: str, provider: RunningSimulator
) -> None:
    fail(provider, "stream_stall", words=WORDS + 1)  # the citation is one more event
    async with caller.stream(project, QUESTION) as stream:
        events = await stream.until("delta")
        assert provider.simulator.journal.streams_open == 1
    assert kinds(events) == ["meta", "sources", "citation", "delta"]
    assert events[1][1]["sources"][0]["filename"] == "orchard.txt"
    assert events[3][1]["text"] == events[2][1]["quote"] in {TREES, PEARS}

    async def let_go() -> bool:
        return provider.simulator.journal.streams_open == 0

    await eventually(let_go)

    async def charged() -> bool:
        return await counter(hosted.database, hosted.api.id, "messages") == (1, 0)

    await eventually(charged)


@pytest.mark.parametrize("ask_timeout_seconds", [6])  # long enough for the sources, which come before the stall
async def test_nothing_leaves_before_its_proof(
    hosted: HostedTenant, caller: TenantClient, project: str, provider: RunningSimulator
) -> None:
    fail(provider, "stream_stall", words=WORDS - 1)
    async with caller.stream(project, QUESTION) as stream:
        events = await stream.until("error")
    assert kinds(events) == ["meta", "sources", "error"]
    assert events[-1][1]["code"] == "provider_timeout"
    assert await counter(hosted.database, hosted.api.id, "messages") == (0, 0)


async def test_sources_and_words_that_come_in_one_burst_leave_at_once(hosted: HostedTenant, project: str) -> None:
    """No further event may follow for a long time, because the model thinks or the provider hangs."""
    (file,) = await hosted.rows("SELECT provider_id FROM provider_files")
    answer = StreamedAnswer(QUESTION, max_output_tokens=100)
    found = {"file_id": file["provider_id"], "text": f"{TREES} {PEARS}", "score": 1.0}
    cited = {"type": "file_citation", "file_id": file["provider_id"], "index": len(TREES)}
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.done", "item": {"type": "file_search_call", "results": [found]}},
        {"type": "response.output_text.delta", "delta": TREES},
        {"type": "response.output_text.annotation.added", "annotation": cited},
    ]
    for event in events:
        answer.add_event(event)
    progress = StreamProgress(answer, ProjectTexts(hosted.database, hosted.api.id, UUID(project)))
    assert [type(event) for event in await progress.read()] == [SourcesFound, Cited, Text]


async def test_what_cites_nothing_true_is_told_as_the_refusal_it_is(
    caller: TenantClient, project: str, provider: RunningSimulator
) -> None:
    invented = "The moon is made of green cheese, and has been for a long time."
    provider.simulator.behaviour.delta_seconds = 0.02
    fail(provider, "scripted", words=0, text=invented)
    async with caller.stream(project, QUESTION) as stream:
        events = await stream.until("done")
    assert "cheese" not in str(events)
    assert (events[-1][1]["answerable"], kinds(events).count("delta")) == (False, 1)


async def test_an_answer_that_breaks_is_an_error_behind_what_was_told(
    hosted: HostedTenant, caller: TenantClient, project: str, provider: RunningSimulator
) -> None:
    provider.simulator.behaviour.delta_seconds = 0.03
    fail(provider, "stream_break", words=WORDS + 8)
    async with caller.stream(project, QUESTION) as stream:
        events = await stream.until("error")
    assert "delta" in kinds(events)
    assert events[-1][1]["code"] == "provider_failed"
    assert await counter(hosted.database, hosted.api.id, "messages") == (0, 0)


async def test_of_a_file_removed_meanwhile_no_further_word_leaves(
    hosted: HostedTenant, caller: TenantClient, provider: RunningSimulator
) -> None:
    project = await hosted.api.create_project()
    trees, pears = await hosted.ingest(project, ("trees.txt", TREES.encode()), ("pears.txt", PEARS.encode()))
    provider.simulator.behaviour.delta_seconds = 0.04
    async with caller.stream(project, QUESTION) as stream:
        begun = await stream.until("citation")
        first = begun[-1][1]["filename"]
        other, other_name = (pears, "pears.txt") if first == "trees.txt" else (trees, "trees.txt")
        path = f"/ingestion/projects/{project}/remove_file"
        await hosted.api.delete(path, params={"openai_file_id": str(other)})
        rest = await stream.until("done")
    gone = {"trees.txt": "nine apple", "pears.txt": "four pear"}[other_name]
    assert gone not in str(rest)
    assert [cited["filename"] for cited in rest[-1][1]["citations"]] == [first]


@pytest.mark.parametrize("searches", [1, 2])
async def test_all_that_the_model_searched_is_behind_the_answer(
    hosted: HostedTenant, caller: TenantClient, provider: RunningSimulator, searches: int
) -> None:
    project = await hosted.api.create_project()
    await hosted.ingest(project, ("trees.txt", TREES.encode()), ("pears.txt", PEARS.encode()))
    provider.simulator.behaviour.file_searches = searches
    provider.simulator.behaviour.delta_seconds = 0.03
    async with caller.stream(project, QUESTION) as stream:
        events = await stream.until("done")
    plain = (await caller.ask(project, QUESTION)).json()
    done = events[-1][1]
    assert done["answer"] == plain["answer"]
    assert {cited["filename"] for cited in done["citations"]} == {"trees.txt", "pears.txt"}
    sources = [data["sources"] for kind, data in events if kind == "sources"]
    assert {source["filename"] for source in sources[-1]} == {"trees.txt", "pears.txt"}


async def test_of_a_file_that_a_later_search_found_no_word_leaves_after_its_removal(
    hosted: HostedTenant, caller: TenantClient, provider: RunningSimulator
) -> None:
    project = await hosted.api.create_project()
    (pears,) = await hosted.ingest(project, ("pears.txt", PEARS.encode()))
    await hosted.ingest(project, ("trees.txt", TREES.encode()))
    provider.simulator.behaviour.file_searches = 2
    provider.simulator.behaviour.delta_seconds = 0.04
    fail(provider, "scripted", words=0, text=f"{PEARS} {TREES}", cited=True)
    async with caller.stream(project, QUESTION) as stream:
        begun = await stream.until("sources")
        path = f"/ingestion/projects/{project}/remove_file"
        await hosted.api.delete(path, params={"openai_file_id": str(pears)})
        rest = await stream.until("done")
    assert len(begun[-1][1]["sources"]) == 1, "of the first search alone"
    assert "pear" not in str([data["text"] for kind, data in rest if kind == "delta"])
    assert "pear" not in rest[-1][1]["answer"]


@pytest.mark.parametrize("ask_timeout_seconds", [60])  # no stream may end before the last one has begun
async def test_more_streams_than_connections_hold_none_to_the_database(
    hosted: HostedTenant, caller: TenantClient, project: str, provider: RunningSimulator, state: AppState
) -> None:
    """The pools have fewer connections; a stream only checks now and then whether its files still exist."""
    fail(provider, "stream_stall", words=WORDS + 1, times=STREAMS)
    async with AsyncExitStack() as leaving:
        streams = [await leaving.enter_async_context(caller.stream(project, QUESTION)) for _ in range(STREAMS)]
        await asyncio.gather(*(stream.until("sources") for stream in streams))
        listed = await caller.get(f"/ingestion/projects/{project}/files")
        assert listed.status_code == 200
        pools: list[Any] = [each.engine.pool for each in (hosted.database, state["database"])]
        assert max(pool.size() for pool in pools) < STREAMS

        async def nearly_none_in_use() -> bool:
            return bool(sum(pool.checkedout() for pool in pools) <= 2)

        await eventually(nearly_none_in_use)
        assert provider.simulator.journal.streams_open == STREAMS
