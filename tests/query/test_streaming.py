"""Streamed answers: their events, and that they end with the same answer as without a stream."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from support.http_clients import Event, EventReader, TenantClient, TenantFactory, client_for
from support.interrupted_engines import InterruptedEngine, interrupted
from support.tenant_records import counter, make_plan, rows_of

QUESTION = "How many apple trees does the orchard keep?"
FACT = "The orchard keeps nine apple trees."


async def told(caller: TenantClient, project: str, question: str = QUESTION) -> list[Event]:
    async with caller.stream(project, question) as events:
        return await events.until("done")


def last_telling(events: Sequence[Event]) -> tuple[str, list[dict[str, object]]]:
    """Return the words and the citations that a reader has after the last event."""
    words = ""
    citations: list[dict[str, object]] = []
    for kind, data in events:
        if kind == "sources":
            words = ""
            citations.clear()
        elif kind == "delta":
            words += data["text"]
        elif kind == "citation":
            citations.append(data)
    return words, citations


async def test_the_events_add_up_to_the_plain_answer(tenant: TenantClient, project: str, database: Database) -> None:
    async with tenant.stream(project, QUESTION) as stream:
        headers = stream.answer.headers
        events = await stream.until("done")
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("private, no-store", "no")
    assert (headers["x-quota-metric"], headers["x-quota-remaining"]) == ("messages", "1999")
    done = events[-1][1]
    read = (await tenant.get(f"/query/messages/{done['message_id']}")).json()
    assert {**done, "feedback": None} == read
    assert (done["answer"], done["answerable"]) == (FACT, True)
    assert last_telling(events) == (FACT, done["citations"])
    assert events[0] == ("meta", {name: done[name] for name in ("message_id", "conversation_id", "engine")})
    (source,) = events[1][1]["sources"]
    assert (events[1][0], source["filename"], source["char_end"]) == ("sources", "orchard.txt", len(FACT))
    assert events[-2] == ("usage", {name: done[name] for name in ("tokens_in", "tokens_out", "tokens_estimated")})
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_a_refusal_is_told_whole(tenant: TenantClient, project: str, database: Database) -> None:
    events = await told(tenant, project, "Who won the chess championship of 1972?")
    done = events[-1][1]
    assert (done["answerable"], last_telling(events)) == (False, (done["answer"], []))
    assert [kind for kind, _ in events] == ["meta", "sources", "delta", "usage", "done"]
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_an_empty_project_refuses(tenant: TenantClient) -> None:
    events = await told(tenant, await tenant.create_project())
    assert events[1] == ("sources", {"sources": []})
    assert not events[-1][1]["answerable"]


async def test_what_is_refused_before_it_begins_is_a_problem(tenant: TenantClient, project: str) -> None:
    async with tenant.stream("5f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a10", QUESTION) as stream:
        await stream.answer.aread()
    assert (stream.answer.status_code, stream.answer.json()["code"]) == (404, "project_not_found")
    async with tenant.stream(project, " ") as stream:
        await stream.answer.aread()
    assert (stream.answer.status_code, stream.answer.json()["code"]) == (422, "validation_error")


class AwayError(UnavailableError):
    code = "engine_away"
    title = "Away"


@pytest.mark.parametrize(
    ("error", "code"),
    [(RuntimeError("SECRET"), "internal_error"), (AwayError("Later.", headers={"Retry-After": "7"}), "engine_away")],
)
async def test_a_failure_is_the_last_event_and_costs_nothing(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database,
    error: Exception, code: str,
) -> None:  # fmt: skip
    async def fail() -> None:
        raise error

    async with (
        interrupted(tenant, engine_settings, state, fail, paid=False) as (caller, _),
        caller.stream(project, QUESTION) as stream,
    ):
        events = await stream.until("error")
        with pytest.raises(StopAsyncIteration):
            await stream.next()
    problem = events[-1][1]
    assert (problem["code"], problem["status"]) == (code, 503 if code == "engine_away" else 500)
    assert problem["request_id"] == stream.answer.headers["x-request-id"]
    assert problem.get("retry_after_seconds") == (7 if code == "engine_away" else None)
    assert "SECRET" not in str(events)
    assert await counter(database, tenant.id, "messages") == (0, 0)


async def test_an_answer_whose_source_is_removed_is_told_anew(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState
) -> None:
    async def remove_the_source() -> None:
        for file in (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]:
            path = f"/ingestion/projects/{project}/remove_file"
            await tenant.delete(path, params={"openai_file_id": file["id"]})

    async with interrupted(tenant, engine_settings, state, remove_the_source) as (caller, engine):
        events = await told(caller, project)
    assert engine.answers == 2
    assert [kind for kind, _ in events].count("sources") == 2
    assert last_telling(events) == (events[-1][1]["answer"], [])
    assert "nine" not in events[-1][1]["answer"]


async def test_a_duplicate_finds_the_answer_that_was_streamed(tenant: TenantClient, project: str) -> None:
    body = {"project_id": project, "question": QUESTION, "stream": True}
    key = {"Idempotency-Key": "streamed"}
    first = await tenant.post("/query/ask", json=body, headers=key)
    done = (await EventReader(first).until("done"))[-1][1]
    again = await tenant.post("/query/ask", json=body, headers=key)
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_duplicate")
    assert again.json()["resource"].endswith(f"/query/messages/{done['message_id']}")
    replayed = await tenant.post("/query/ask", json=body, headers={**key, "Prefer": "idempotency=replay"})
    assert (replayed.headers["idempotent-replayed"], replayed.json()) == ("true", done)


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "come-back"}])
async def test_a_caller_who_leaves_stops_it_unless_there_is_a_key(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database,
    key: dict[str, str],
) -> None:  # fmt: skip
    left = asyncio.Event()

    async def leave() -> None:
        left.set()
        await asyncio.sleep(0.6)

    engine = InterruptedEngine(state["engines"][engine_settings.default_engine], answered=leave)
    async with client_for(engine_settings, {**state, "engines": engine.alone()}, leaving=left) as client:
        body = {"project_id": project, "question": QUESTION, "stream": True}
        await client.post("/query/ask", json=body, headers={**tenant.headers, **key})
    states = [row["state"] for row in await rows_of(database, tenant.id, "SELECT state FROM messages ORDER BY role")]
    assert states == (["completed", "completed"] if key else ["cancelled"])
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_twenty_streams_on_a_cap_of_five_are_five_answers(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, messages=5))
    project = await tenant.create_project()

    async def ask() -> str:
        async with tenant.stream(project, QUESTION) as stream:
            if stream.answer.status_code == 200:
                return (await stream.until("done"))[-1][0]
            await stream.answer.aread()
            return str(stream.answer.json()["code"])

    outcomes = Counter(await asyncio.gather(*(ask() for _ in range(20))))
    assert outcomes == {"done": 5, "quota_exceeded": 15}
    assert await counter(database, tenant.id, "messages") == (5, 0)


async def test_another_tenants_project_is_unknown(project: str, make_tenant: TenantFactory, database: Database) -> None:
    stranger = await make_tenant()
    async with stranger.stream(project, QUESTION) as stream:
        await stream.answer.aread()
    assert (stream.answer.status_code, stream.answer.json()["code"]) == (404, "project_not_found")
    assert await counter(database, stranger.id, "messages") == (0, 0)
