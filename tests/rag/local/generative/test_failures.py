"""Servers that fail, hang, write without end, or lack an API, and the recorded cost of each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from fastapi_ignite.rag.engine import Text, TokenUsage
from fastapi_ignite.rag.errors import ProviderAuthError, ProviderError, ProviderUnavailableError
from fastapi_ignite.rag.local.generative.answerer import GenerativeAnswerer
from support.model_server import ModelServer, with_answerer
from support.rag_projects import RagProject
from support.tenant_records import eventually

QUESTION = "When does the warranty end after delivery?"
APIS = {"responses": "responses.create", "chat": "chat.completions.create"}

MakeAnswerer = Callable[..., GenerativeAnswerer]


@pytest.fixture(params=list(APIS))
def api(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize(
    ("fault", "code", "spent"),
    [
        ({"kind": "status", "status": 400}, "provider_rejected", False),
        ({"kind": "status", "status": 401}, "provider_auth", False),
        ({"kind": "status", "status": 403}, "provider_auth", False),
        ({"kind": "status", "status": 404}, "provider_unavailable", False),
        ({"kind": "status", "status": 404, "code": "model_not_found"}, "provider_rejected", False),
        ({"kind": "status", "status": 408}, "provider_timeout", False),
        ({"kind": "status", "status": 429, "retry_after": 7}, "provider_rate_limited", False),
        ({"kind": "status", "status": 429, "code": "insufficient_quota"}, "provider_quota", False),
        ({"kind": "status", "status": 500}, "provider_failed", False),
        ({"kind": "status", "status": 503}, "provider_unavailable", False),
        ({"kind": "no_endpoint"}, "provider_failed", False),
        ({"kind": "reset"}, "provider_failed", True),
        ({"kind": "timeout"}, "provider_timeout", True),
        ({"kind": "content_filter"}, "provider_content_filter", True),
        ({"kind": "scripted", "text": ""}, "provider_failed", True),
        ({"kind": "scripted", "text": "<think>" + "Is it the pump? " * 20}, "provider_failed", True),
        ({"kind": "stream_error_object", "after_events": 6}, "provider_failed", True),
        ({"kind": "stream_error_event", "after_events": 6}, "provider_failed", True),
        ({"kind": "stream_break", "after_events": 6}, "provider_failed", True),
        ({"kind": "stream_stall", "after_events": 6}, "provider_timeout", True),
        ({"kind": "stream_garbage", "after_events": 6}, "provider_failed", True),
        ({"kind": "stream_endless", "after_events": 0}, "provider_failed", True),
    ],
)
async def test_a_failure_has_its_error_and_its_price(
    project: RagProject,
    server: ModelServer,
    make_answerer: MakeAnswerer,
    api: str,
    fault: dict[str, object],
    code: str,
    *,
    spent: bool,
) -> None:
    server.fail(APIS[api], **fault)
    usage = TokenUsage()
    hangs = "timeout" in code
    asked = with_answerer(project, make_answerer(api=api, timeout_seconds=0.5 if hangs else 10, max_output_tokens=40))
    with pytest.raises(ProviderError) as failed:
        await asked.ask(QUESTION, usage)
    assert (failed.value.code, usage.spent) == (code, spent)
    if fault.get("retry_after"):
        assert failed.value.headers["Retry-After"] == "7"


async def test_what_failed_by_its_own_word_has_the_servers_figures(
    project: RagProject, server: ModelServer, make_answerer: MakeAnswerer
) -> None:
    server.fail("responses.create", kind="failed")
    usage = TokenUsage()
    with pytest.raises(ProviderError):
        await with_answerer(project, make_answerer(api="responses")).ask(QUESTION, usage)
    assert usage.tokens_in > 0
    assert not usage.estimated


async def test_a_server_that_is_away_costs_nothing(project: RagProject, make_answerer: MakeAnswerer) -> None:
    usage = TokenUsage()
    with pytest.raises(ProviderUnavailableError):
        await with_answerer(project, make_answerer(base_url="http://127.0.0.1:1/v1")).ask(QUESTION, usage)
    assert not usage.spent


async def test_a_refused_key_is_not_tried_again_at_once(project: RagProject, server: ModelServer) -> None:
    server.fail("*", kind="status", status=401, times=10)
    with pytest.raises(ProviderAuthError):
        await project.ask(QUESTION)
    with pytest.raises(ProviderUnavailableError) as refused:
        await project.ask(QUESTION)
    assert refused.value.headers["Retry-After"]
    assert server.calls == {"responses.create": 1}


async def test_one_that_does_not_stop_is_cut_off(
    project: RagProject, server: ModelServer, make_answerer: MakeAnswerer, api: str
) -> None:
    server.fail(APIS[api], kind="stream_endless", after_events=9)
    usage = TokenUsage()
    await with_answerer(project, make_answerer(api=api, max_output_tokens=16)).ask(QUESTION, usage)
    assert usage.estimated
    assert 10 < usage.tokens_out <= 16 * 16
    await upstream_stops(server)


async def test_cancelling_stops_the_model_and_tells_what_was_spent(
    project: RagProject, server: ModelServer, make_answerer: MakeAnswerer, api: str
) -> None:
    server.fail(APIS[api], kind="stream_stall", after_events=8)
    usage = TokenUsage()
    task = asyncio.create_task(with_answerer(project, make_answerer(api=api)).ask(QUESTION, usage))

    async def streaming() -> bool:
        return server.running.simulator.journal.streams_open > 0

    await eventually(streaming)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (usage.estimated, usage.tokens_in > 0) == (True, True)
    await upstream_stops(server)


async def test_closing_the_events_stops_the_model_and_tells_what_was_spent(
    project: RagProject, server: ModelServer, make_answerer: MakeAnswerer, api: str
) -> None:
    quote = "Its warranty ends 24 months after delivery."
    server.script(f'After two years [1: "{quote}"]. ' + "It does not stop there. " * 100)
    server.running.simulator.behaviour.delta_seconds = 0.05
    usage = TokenUsage()
    engine = with_answerer(project, make_answerer(api=api)).engine
    async with aclosing(engine.ask(project.tenant_id, project.project_id, QUESTION, usage, stream=True)) as events:
        async for event in events:
            if isinstance(event, Text):
                break
    assert (usage.estimated, usage.tokens_in > 0, usage.tokens_out > 0) == (True, True, True)
    await upstream_stops(server)


async def upstream_stops(server: ModelServer) -> None:
    async def stopped() -> bool:
        return server.running.simulator.journal.in_flight == 0

    await eventually(stopped)


class TestApis:
    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "status", "status": 404},
            {"kind": "status", "status": 405},
            {"kind": "status", "status": 501},
            {"kind": "status", "status": 400, "message": "The Responses API is not supported by this model."},
            {"kind": "status", "status": 500, "message": "Unknown endpoint"},
            {"kind": "no_endpoint"},
        ],
    )
    async def test_without_responses_chat_answers_and_is_remembered(
        self, project: RagProject, server: ModelServer, fault: dict[str, object]
    ) -> None:
        server.fail("responses.create", **fault)
        usage = TokenUsage()
        assert [(await project.ask(QUESTION, usage)).answerable for _ in range(2)] == [True, True]
        assert server.calls == {"responses.create": 1, "chat.completions.create": 2}
        assert not usage.estimated

    @pytest.mark.parametrize("fault", [{"status": 503}, {"status": 404, "code": "model_not_found"}])
    async def test_another_refusal_is_no_missing_api(
        self, project: RagProject, server: ModelServer, fault: dict[str, object]
    ) -> None:
        server.fail("responses.create", kind="status", **fault)
        with pytest.raises(ProviderError):
            await project.ask(QUESTION)
        assert (await project.ask(QUESTION)).answerable
        assert server.calls == {"responses.create": 2}

    async def test_an_api_that_went_away_is_looked_for_again(self, project: RagProject, server: ModelServer) -> None:
        assert (await project.ask(QUESTION)).answerable
        server.fail("responses.create", kind="status", status=404, times=2)
        with pytest.raises(ProviderUnavailableError):
            await project.ask(QUESTION)
        assert (await project.ask(QUESTION)).answerable
        assert server.calls == {"responses.create": 3, "chat.completions.create": 1}
