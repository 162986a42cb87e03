"""Projects at OpenAI, as a tenant sees them."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from pydantic import SecretStr

from fastapi_ignite.core.config import Settings, load_settings
from fastapi_ignite.core.model_sections import OpenAISettings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.errors import ProviderError
from fastapi_ignite.rag.llm.failures import FAILURES_IN_A_ROW
from fastapi_ignite.rag.llm.token_usage import CHARACTERS_A_TOKEN
from fastapi_ignite.rag.openai import service
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from fastapi_ignite.rag.openai.service import INSTRUCTIONS
from rag.openai.hosted_tenant import HostedTenant
from support.http_clients import TenantClient, client_for
from support.interrupted_engines import answer_of
from support.tenant_records import counter, eventually

from openai_simulator import model_output
from openai_simulator.faults import Fault, FaultKind
from openai_simulator.server import RunningSimulator

FACT = "The orchard keeps nine apple trees."
QUESTION = "How many apple trees does the orchard keep?"


@pytest.fixture
async def project(hosted: HostedTenant) -> str:
    """Make a project that contains one fact."""
    project: str = await hosted.api.create_project()
    (file,) = await hosted.ingest(project, ("orchard.csv", f"Notes on Holm.\n\n{FACT}\n".encode()))
    assert (await hosted.file(file))["state"] == "completed"
    return project


def fail(provider: RunningSimulator, route: str, **fault: object) -> None:
    provider.simulator.faults.add(Fault.model_validate({"route": route, **fault}))


class TestStores:
    async def test_the_providers_id_is_what_callers_see(self, hosted: HostedTenant, provider: RunningSimulator) -> None:
        project = await hosted.api.create_project()
        answers = [
            (await hosted.api.post(f"/ingestion/projects/{project}/ensure_vector_store")).json() for _ in range(2)
        ]
        assert [answer["status"] for answer in answers] == ["created", "exists"]
        assert {answer["vector_store_id"] for answer in answers} == {
            store.id for store in provider.simulator.state.vector_stores
        }

    async def test_callers_at_once_make_one(self, hosted: HostedTenant, provider: RunningSimulator) -> None:
        project = await hosted.api.create_project()
        path = f"/ingestion/projects/{project}/ensure_vector_store"
        answers = await asyncio.gather(*(hosted.api.post(path) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert sorted(answer.json()["status"] for answer in answers) == ["created"] + ["exists"] * 7
        assert provider.simulator.state.created()["vector_stores"] == 1

    @pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.STATUS, FaultKind.TIMEOUT])
    async def test_one_made_behind_a_lost_answer_is_found_again(
        self, hosted: HostedTenant, provider: RunningSimulator, kind: FaultKind
    ) -> None:
        fail(provider, "vector_stores.create", kind=kind, when="after")
        project = await hosted.api.create_project()
        path, key = f"/ingestion/projects/{project}/ensure_vector_store", {"Idempotency-Key": "one"}
        first = await hosted.api.post(path, headers=key)
        assert first.status_code in {502, 504}
        again = await hosted.api.post(path, headers=key)
        assert (again.status_code, again.json()["status"]) == (200, "created")
        assert provider.simulator.state.created()["vector_stores"] == 1


class TestFiles:
    async def test_an_upload_lost_behind_its_answer_is_found_again(
        self, hosted: HostedTenant, provider: RunningSimulator
    ) -> None:
        fail(provider, "files.create", kind=FaultKind.RESET, when="after")
        project = await hosted.api.create_project()
        (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
        assert (await hosted.file(file))["state"] not in {"completed", "failed"}
        await hosted.work(file)
        assert (await hosted.file(file))["state"] == "completed"
        assert provider.simulator.state.created()["files"] == 1

    async def test_one_that_vanished_before_it_was_attached_is_sent_again(
        self, hosted: HostedTenant, provider: RunningSimulator
    ) -> None:
        fail(provider, "vector_stores.files.create", kind=FaultKind.STATUS, status=500)
        project = await hosted.api.create_project()
        (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
        provider.simulator.state.remove_file(
            (await hosted.rows("SELECT provider_id FROM provider_files"))[0]["provider_id"]
        )
        await hosted.work(file)
        assert (await hosted.file(file))["last_error"]["code"] == "provider_failed"
        await hosted.work(file)
        assert (await hosted.file(file))["state"] == "completed"
        assert (await hosted.rows("SELECT state FROM provider_stores"))[0]["state"] == "ready"
        assert provider.simulator.state.created()["files"] == 2

    async def test_what_openai_cannot_index_fails_and_leaves_nothing(
        self, hosted: HostedTenant, provider: RunningSimulator
    ) -> None:
        fail(provider, "vector_stores.files.create", kind=FaultKind.FILE_FAILED, code="invalid_file")
        project = await hosted.api.create_project()
        (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
        row = await hosted.file(file)
        assert (row["state"], row["last_error"]["code"]) == ("failed", "provider_rejected")
        assert await counter(hosted.database, hosted.api.id, "characters") == (0, 0)
        assert provider.simulator.state.existing()["files"] == 0

    async def test_equal_files_at_once_are_one_at_the_provider(
        self, hosted: HostedTenant, provider: RunningSimulator
    ) -> None:
        provider.simulator.behaviour.processing_seconds = 0.3
        project = await hosted.api.create_project()
        files = await hosted.upload(project, *((f"{number}.txt", FACT.encode()) for number in range(3)))
        await asyncio.gather(*(hosted.work(file) for file in files))
        rows = [await hosted.file(file) for file in files]
        assert [row["state"] for row in rows] == ["completed"] * 3
        assert sorted(row["deduplicated"] for row in rows) == [False, True, True]
        assert await counter(hosted.database, hosted.api.id, "characters") == (len(FACT), 0)
        assert provider.simulator.state.created()["files"] == 1

    async def test_what_is_stuck_is_attached_once_more(self, hosted: HostedTenant, provider: RunningSimulator) -> None:
        fail(provider, "vector_stores.files.create", kind=FaultKind.STUCK)
        project = await hosted.api.create_project()
        (file,) = await hosted.ingest(project, ("orchard.txt", FACT.encode()))
        assert (await hosted.file(file))["state"] == "completed"
        assert provider.simulator.state.created()["files"] == 1

    async def test_removal_leaves_nothing_at_the_provider(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str
    ) -> None:
        (file,) = await hosted.rows("SELECT id FROM files")
        removed = await hosted.api.delete(
            f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": str(file["id"])}
        )
        assert removed.status_code == 200
        assert not (await hosted.api.ask(project, QUESTION)).json()["answerable"]
        fail(provider, "files.delete", kind=FaultKind.STATUS, status=404, when="after")
        await hosted.processor.delete(hosted.api.id, file["id"])
        assert (await hosted.file(file["id"]))["state"] == "deleted"
        existing = provider.simulator.state.existing()
        assert (existing["files"], existing["vector_store_files"]) == (0, 0)
        assert await hosted.rows("SELECT 1 FROM documents UNION ALL SELECT 1 FROM provider_files") == []


class TestAnswers:
    async def test_a_quote_is_proven_and_tokens_are_recorded(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str
    ) -> None:
        body = (await hosted.api.ask(project, QUESTION)).json()
        assert (body["answer"], body["answerable"], body["engine"]) == (FACT, True, "openai")
        (cited,) = body["citations"]
        assert cited["support"] == "aligned"
        (file,) = await hosted.rows("SELECT id FROM files")
        assert (cited["file_id"], cited["quote"], cited["char_start"]) == (
            str(file["id"]),
            FACT,
            len("Notes on Holm.\n\n"),
        )
        (row,) = await hosted.rows("SELECT * FROM messages WHERE role = 'assistant'")
        assert row["tokens_in"] == body["tokens_in"] > 0
        assert (row["tokens_cached"], row["tokens_reasoning"]) != (None, None)
        assert await counter(hosted.database, hosted.api.id, "messages") == (1, 0)
        assert len(provider.simulator.state.responses) == 0  # the response was not stored

    async def test_what_the_model_makes_up_never_leaves(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str
    ) -> None:
        fail(provider, "responses.create", kind=FaultKind.SCRIPTED, text="Elephants invented the telegraph in 1822.")
        body = (await hosted.api.ask(project, QUESTION)).json()
        assert (body["answerable"], body["citations"]) == (False, [])
        assert "Elephants" not in body["answer"]

    async def test_what_no_file_says_is_refused(self, hosted: HostedTenant, project: str) -> None:
        body = (await hosted.api.ask(project, "Which rocket engine burns methane?")).json()
        assert (body["answerable"], body["citations"]) == (False, [])
        assert await counter(hosted.database, hosted.api.id, "messages") == (1, 0)

    async def test_an_empty_project_asks_nobody(self, hosted: HostedTenant, provider: RunningSimulator) -> None:
        project = await hosted.api.create_project()
        assert not (await hosted.api.ask(project, QUESTION)).json()["answerable"]
        assert provider.simulator.state.created()["responses"] == 0

    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [
            ({"kind": "status", "status": 400}, 502, "provider_rejected"),
            ({"kind": "status", "status": 401}, 502, "provider_auth"),
            ({"kind": "status", "status": 403}, 502, "provider_auth"),
            ({"kind": "status", "status": 404}, 409, "store_missing"),
            ({"kind": "status", "status": 404, "code": "model_not_found"}, 502, "provider_rejected"),
            ({"kind": "status", "status": 408}, 504, "provider_timeout"),
            ({"kind": "status", "status": 429, "retry_after": 7}, 503, "provider_rate_limited"),
            ({"kind": "status", "status": 429, "retry_after": 600.5}, 503, "provider_rate_limited"),
            ({"kind": "status", "status": 429, "code": "insufficient_quota"}, 503, "provider_quota"),
            ({"kind": "status", "status": 500}, 502, "provider_failed"),
            ({"kind": "status", "status": 503}, 503, "provider_unavailable"),
            ({"kind": "reset"}, 502, "provider_failed"),
            ({"kind": "failed"}, 502, "provider_failed"),
            ({"kind": "content_filter"}, 502, "provider_content_filter"),
            ({"kind": "incomplete", "tokens": 0}, 502, "provider_failed"),
            ({"kind": "failed", "code": "invalid_prompt"}, 502, "provider_rejected"),
            ({"kind": "failed", "code": "vector_store_timeout"}, 504, "provider_timeout"),
            ({"kind": "stream_error_event", "after_events": 9}, 502, "provider_failed"),
            ({"kind": "stream_error_object", "after_events": 9}, 502, "provider_failed"),
            ({"kind": "stream_break", "after_events": 9}, 502, "provider_failed"),
        ],
    )
    async def test_a_failure_has_its_code_and_costs_nothing(
        self,
        hosted: HostedTenant,
        provider: RunningSimulator,
        project: str,
        fault: dict[str, object],
        status: int,
        code: str,
    ) -> None:
        fail(provider, "responses.create", **fault)
        answer = await hosted.api.ask(project, QUESTION)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        if wait := fault.get("retry_after"):
            assert answer.headers["retry-after"] == ("7" if wait == 7 else "601")
        assert await counter(hosted.database, hosted.api.id, "messages") == (0, 0)
        (store,) = await hosted.rows("SELECT state FROM provider_stores")
        assert store["state"] == "ready", "a store that is there is not lost"

    @pytest.mark.parametrize("ask_timeout_seconds", [2])
    @pytest.mark.parametrize("fault", [{"kind": "timeout"}, {"kind": "stream_stall", "after_events": 9}])
    async def test_an_answer_that_takes_too_long_costs_nothing(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str, fault: dict[str, object]
    ) -> None:
        fail(provider, "responses.create", **fault)
        answer = await hosted.api.ask(project, QUESTION)
        assert (answer.status_code, answer.json()["code"]) == (504, "provider_timeout")
        assert await counter(hosted.database, hosted.api.id, "messages") == (0, 0)

    @pytest.mark.parametrize(
        ("kind", "estimated"),
        [(FaultKind.FAILED, False), (FaultKind.CONTENT_FILTER, False), (FaultKind.STREAM_BREAK, True)],
    )
    async def test_what_a_failure_took_at_the_provider_is_on_record(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str, kind: FaultKind, *, estimated: bool
    ) -> None:
        fail(provider, "responses.create", kind=kind, after_events=9)
        await hosted.api.ask(project, QUESTION)
        (row,) = await hosted.rows("SELECT * FROM messages")
        assert (row["state"], row["tokens_estimated"]) == ("failed", estimated)
        assert row["tokens_in"] > len(INSTRUCTIONS.split())

    @pytest.mark.parametrize(
        "figures",
        [
            None,
            {},
            {"input_tokens": None, "output_tokens": None, "total_tokens": None},
            {"input_tokens": "many", "output_tokens": [], "input_tokens_details": 5},
            "none",
        ],
    )
    async def test_where_a_gateway_leaves_the_figures_out_we_count(
        self,
        hosted: HostedTenant,
        project: str,
        monkeypatch: pytest.MonkeyPatch,
        figures: object,
    ) -> None:
        monkeypatch.setattr(model_output, "_usage", lambda *_: figures)
        answer = await hosted.api.ask(project, QUESTION)
        assert (answer.status_code, answer.json()["answer"]) == (200, FACT), answer.text
        (row,) = await hosted.rows("SELECT * FROM messages WHERE role = 'assistant'")
        assert row["tokens_estimated"]
        assert row["tokens_in"] > len(INSTRUCTIONS.split())
        assert 5 < row["tokens_out"] < 20

    async def test_of_details_that_are_left_out_nothing_is_assumed(
        self, hosted: HostedTenant, project: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(model_output, "_usage", lambda *_: {"input_tokens": 90, "output_tokens": 30})
        body = (await hosted.api.ask(project, QUESTION)).json()
        assert (body["tokens_in"], body["tokens_out"], body["tokens_estimated"]) == (90, 30, False)

    async def test_of_an_answer_without_end_the_longest_one_is_kept(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str
    ) -> None:
        """`max_output_tokens` is 2000, but the simulator's tokens may have any length."""
        fail(provider, "responses.create", kind=FaultKind.SCRIPTED, text=f"{FACT} {'x' * 90_000}", cited=True)
        body = (await hosted.api.ask(project, QUESTION)).json()
        assert (body["answerable"], body["truncated"], len(body["answer"])) == (True, True, 32_000)

    async def test_a_stream_without_end_is_cut_off(
        self, database: Database, hosted: HostedTenant, provider: RunningSimulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The length ends the stream, not a timeout."""
        monkeypatch.setattr(service, "OTHER_BYTES", 2**17)
        settings = OpenAISettings(
            api_key=SecretStr("sk-test"), base_url=provider.base_url, max_output_tokens=16, ask_timeout_seconds=60
        )
        project = await hosted.api.create_project()
        await hosted.ingest(project, ("orchard.txt", FACT.encode()))
        fail(provider, "responses.create", kind=FaultKind.STREAM_ENDLESS, after_events=10)
        engine, usage = OpenAIEngine(database, settings), TokenUsage()
        async with asyncio.timeout(60):
            with pytest.raises(ProviderError, match="broke"):
                await answer_of(engine.ask(hosted.api.id, UUID(project), QUESTION, usage))
        await engine.close()
        assert usage.estimated
        assert 10 < usage.tokens_out <= 16 * CHARACTERS_A_TOKEN

    async def test_an_answer_in_other_words_is_cited_from_the_file_it_names(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str
    ) -> None:
        german = "Im Obstgarten stehen neun B\u00e4ume."
        fail(provider, "responses.create", kind=FaultKind.SCRIPTED, text=german, cited=True)
        body = (await hosted.api.ask(project, QUESTION)).json()
        assert (body["answer"], body["answerable"]) == (german, True)
        (cited,) = body["citations"]
        assert cited["support"] == "retrieved"
        assert FACT in cited["quote"]

    @pytest.mark.parametrize("kind", [FaultKind.REFUSAL, FaultKind.INCOMPLETE])
    async def test_a_refusal_and_a_cut_answer_are_answers(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str, kind: FaultKind
    ) -> None:
        fail(provider, "responses.create", kind=kind)
        answer = await hosted.api.ask(project, QUESTION)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        if kind is FaultKind.REFUSAL:
            assert (body["answerable"], body["citations"], body["truncated"]) == (False, [], False)
        else:
            assert (body["answerable"], body["truncated"], body["citations"][0]["quote"]) == (True, True, FACT)
            assert FACT.startswith(body["answer"])
        assert await counter(hosted.database, hosted.api.id, "messages") == (1, 0)

    async def test_an_outage_is_asked_about_once_in_a_while(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str
    ) -> None:
        fail(provider, "responses.create", kind=FaultKind.STATUS, status=500, times=100)
        answers = [await hosted.api.ask(project, QUESTION) for _ in range(FAILURES_IN_A_ROW + 3)]
        codes = [answer.json()["code"] for answer in answers]
        assert codes == ["provider_failed"] * FAILURES_IN_A_ROW + ["provider_unavailable"] * 3
        assert answers[-1].headers["retry-after"]

    @pytest.mark.parametrize("status", [400, 404, 429])
    async def test_an_outage_is_over_when_it_answers_though_it_refuses(
        self,
        hosted: HostedTenant,
        provider: RunningSimulator,
        project: str,
        monkeypatch: pytest.MonkeyPatch,
        status: int,
    ) -> None:
        """The next question is asked at once, and one more failure does not start a new outage."""
        fail(provider, "responses.create", kind=FaultKind.STATUS, status=500, times=FAILURES_IN_A_ROW)
        for _ in range(FAILURES_IN_A_ROW):
            await hosted.api.ask(project, QUESTION)
        assert (await hosted.api.ask(project, QUESTION)).json()["code"] == "provider_unavailable"
        monkeypatch.setattr(hosted.engine.service._client._breaker, "_closed_until", 0.01)  # as after the ten seconds
        code = "model_not_found" if status == 404 else None
        fail(provider, "responses.create", kind=FaultKind.STATUS, status=status, code=code)
        fail(provider, "responses.create", kind=FaultKind.STATUS, status=500)
        codes = [(await hosted.api.ask(project, QUESTION)).json().get("code") for _ in range(3)]
        refusal = "provider_rate_limited" if status == 429 else "provider_rejected"
        assert codes == [refusal, "provider_failed", None]

    async def test_a_caller_who_goes_stops_the_model_and_has_used_the_message(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str, leaving: asyncio.Event
    ) -> None:
        fail(provider, "responses.create", kind=FaultKind.STREAM_STALL, after_events=9)
        asking = asyncio.create_task(hosted.api.ask(project, QUESTION))

        async def being_answered() -> bool:
            return provider.simulator.journal.streams_open > 0

        await eventually(being_answered)
        leaving.set()
        await asking

        async def upstream_stopped() -> bool:
            return provider.simulator.journal.streams_open == 0

        await eventually(upstream_stopped)
        assert await counter(hosted.database, hosted.api.id, "messages") == (1, 0)
        (row,) = await hosted.rows("SELECT * FROM messages")
        assert (row["state"], row["tokens_estimated"]) == ("cancelled", True)
        assert row["tokens_in"] > 0

    async def test_a_process_that_ends_takes_the_request_along(
        self, hosted: HostedTenant, provider: RunningSimulator, project: str
    ) -> None:
        fail(provider, "responses.create", kind=FaultKind.TIMEOUT)
        asking = asyncio.create_task(hosted.api.ask(project, QUESTION))

        async def asked() -> bool:
            return provider.simulator.journal.in_flight > 0

        await eventually(asked)
        asking.cancel()
        await asyncio.wait((asking,))

        async def upstream_stopped() -> bool:
            return provider.simulator.journal.in_flight == 0

        await eventually(upstream_stopped)
        assert await counter(hosted.database, hosted.api.id, "messages") == (0, 0)
        assert (await hosted.rows("SELECT state FROM messages"))[0]["state"] == "failed"


async def test_a_project_whose_key_was_taken_away_is_told_so(
    hosted: HostedTenant, project: str, settings: Settings, state: AppState
) -> None:
    async with client_for(settings, {**state, "engines": {"local": state["engines"]["local"]}}) as keyless:
        answer = await TenantClient(hosted.api.id, keyless, hosted.api.headers).ask(project, QUESTION)
    assert (answer.status_code, answer.json()["code"]) == (503, "engine_missing")
    assert await counter(hosted.database, hosted.api.id, "messages") == (0, 0)


def test_the_key_of_the_seed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "something-else")
    assert load_settings(env_file=None).openai.api_key == SecretStr("something-else")


def test_the_key_chooses_the_engine(settings: Settings, hosted_settings: Settings) -> None:
    assert (settings.default_engine, hosted_settings.default_engine) == ("local", "openai")
    local = hosted_settings.rag.model_copy(update={"engine": "local"})
    assert hosted_settings.model_copy(update={"rag": local}).default_engine == "local"
