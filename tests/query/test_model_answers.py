"""An API whose settings name a model answers the local engine's questions with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from fastapi_ignite.core.config import Settings, load_settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, client_for, served_client
from support.model_server import ModelServer
from support.tenant_records import counter, eventually, rows_of

from openai_simulator.server import RunningSimulator

pytestmark = of_the_local_engine  # the other engine has its own model

QUESTION = "How many apple trees does the orchard keep?"
FACT = "The orchard keeps nine apple trees."


@pytest.fixture
def server(provider: RunningSimulator) -> ModelServer:
    """Return a model server without faults and without earlier calls."""
    return ModelServer(provider)


@pytest.fixture
async def answering(
    settings: Settings, addresses: ServiceAddresses, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Settings, AppState]]:
    """Start an application whose settings name a model."""
    monkeypatch.setenv("ANSWER_MODEL", "gpt-4.1-mini")
    monkeypatch.setenv("ANSWER_BASE_URL", server.running.base_url)
    monkeypatch.setenv("ANSWER_API_KEY", "sk-model")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-service")
    server.running.simulator.behaviour.api_key = "sk-model"
    settings = settings.model_copy(update={"answer": load_settings(env_file=None).answer})
    async with open_state(settings, addresses) as state:
        yield settings, state


@pytest.fixture
async def caller(tenant: TenantClient, answering: tuple[Settings, AppState]) -> AsyncGenerator[TenantClient]:
    """Return the tenant as a client of that application."""
    async with client_for(*answering) as client:
        yield TenantClient(tenant.id, client, tenant.headers)


async def test_the_model_answers_with_proven_quotes(
    caller: TenantClient, project: str, server: ModelServer, database: Database
) -> None:
    server.script('They keep nine [1: "keeps nine apple trees"]. All are old [1: "old as the hills"].')
    answer = (await caller.ask(project, QUESTION)).json()
    assert (answer["answer"], answer["answerable"], answer["engine"]) == ("They keep nine. All are old.", True, "local")
    (cited,) = answer["citations"]
    assert (cited["quote"], cited["filename"], cited["support"]) == ("keeps nine apple trees", "orchard.txt", "quoted")
    assert FACT[cited["char_start"] : cited["char_end"]] == cited["quote"]
    (row,) = await rows_of(database, caller.id, "SELECT * FROM messages WHERE role = 'assistant'")
    assert (row["tokens_in"], row["tokens_estimated"]) == (answer["tokens_in"], False)
    assert await counter(database, caller.id, "messages") == (1, 0)
    (record,) = server.running.simulator.journal.records
    assert "openai-organization" not in record["headers"]


async def test_a_key_under_which_the_model_worked_stays_taken(
    caller: TenantClient, project: str, server: ModelServer, database: Database
) -> None:
    server.fail("*", kind="stream_break", after_events=6)
    answers = [await caller.ask(project, QUESTION, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [502, 409]
    assert server.calls == {"responses.create": 1}
    assert await counter(database, caller.id, "messages") == (0, 0)
    (row,) = await rows_of(database, caller.id, "SELECT tokens_in, tokens_estimated FROM messages")
    assert row["tokens_in"] > 0
    assert row["tokens_estimated"]


async def test_a_key_is_free_again_where_the_model_did_not(
    caller: TenantClient, project: str, server: ModelServer
) -> None:
    server.fail("*", kind="status", status=429, retry_after=7)
    answers = [await caller.ask(project, QUESTION, headers={"Idempotency-Key": "twice"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 200]
    assert answers[0].headers["retry-after"] == "7"


async def test_a_caller_who_leaves_stops_the_model_and_has_used_the_message(
    tenant: TenantClient, answering: tuple[Settings, AppState], project: str, server: ModelServer, database: Database
) -> None:
    server.fail("*", kind="stream_stall", after_events=8)
    left = asyncio.Event()
    async with client_for(*answering, leaving=left) as client:
        asking = asyncio.create_task(TenantClient(tenant.id, client, tenant.headers).ask(project, QUESTION))

        async def streaming() -> bool:
            return server.running.simulator.journal.streams_open > 0

        await eventually(streaming)
        left.set()
        assert (await asking).status_code == 499

    async def stopped() -> bool:
        return server.running.simulator.journal.in_flight == 0

    await eventually(stopped)
    assert await counter(database, tenant.id, "messages") == (1, 0)
    (row,) = await rows_of(database, tenant.id, "SELECT state, tokens_in, tokens_estimated FROM messages")
    assert (row["state"], row["tokens_in"] > 0, row["tokens_estimated"]) == ("cancelled", True, True)


async def test_words_leave_with_their_proof_while_the_model_goes_on(
    tenant: TenantClient, answering: tuple[Settings, AppState], project: str, server: ModelServer, database: Database
) -> None:
    said = 'There are nine of them [1: "keeps nine apple trees"]. They are old [1: "old as the hills"], and so on.'
    server.fail("*", kind="stream_stall", after_events=30, text=said)
    async with served_client(*answering) as client:
        async with TenantClient(tenant.id, client, tenant.headers).stream(project, QUESTION) as stream:
            events = await stream.until("delta")
            assert server.running.simulator.journal.streams_open == 1
        assert [kind for kind, _ in events] == ["meta", "sources", "citation", "delta"]
        assert (events[2][1]["quote"], events[3][1]["text"]) == ("keeps nine apple trees", "There are nine of them")

        async def stopped() -> bool:
            return server.running.simulator.journal.in_flight == 0 and (
                await counter(database, tenant.id, "messages") == (1, 0)
            )

        await eventually(stopped)


async def test_an_answer_that_turns_out_to_be_a_thought_is_told_anew(
    tenant: TenantClient, answering: tuple[Settings, AppState], project: str, server: ModelServer
) -> None:
    server.running.simulator.behaviour.delta_seconds = 0.02
    server.script('They ask for the trees [1: "keeps nine apple trees"]. Now.</think>Nine [1: "nine apple trees"].')
    async with (
        served_client(*answering) as client,
        TenantClient(tenant.id, client, tenant.headers).stream(project, QUESTION) as stream,
    ):
        events = await stream.until("done")
    kinds = [kind for kind, _ in events]
    assert kinds == ["meta", "sources", "citation", "delta", "sources", "citation", "delta", "usage", "done"]
    assert [data["text"] for kind, data in events if kind == "delta"] == ["They ask for the trees", "Nine."]
    assert events[-1][1]["answer"] == "Nine."
    assert events[-1][1]["citations"] == [events[5][1]]
