"""Streams exactly as servers other than OpenAI's write them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastapi_ignite.rag.engine import Final, Text, TokenUsage
from fastapi_ignite.rag.errors import ProviderError
from fastapi_ignite.rag.local.generative.answerer import GenerativeAnswerer
from support.model_server import ModelServer, with_answerer
from support.rag_projects import RagProject

QUESTION = "When does the warranty end after delivery?"
QUOTE = "Its warranty ends 24 months after delivery."
SAID = f'After two years [1: "{QUOTE}"].'
EVENTS = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def serving(answer: str) -> AsyncGenerator[str]:
    """Run a server that sends the same bytes to every request, and yield its base URL."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> str:
    choices = [] if delta is None and finish is None else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **fields}
    return f"data: {json.dumps(body)}\n\n"


def event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': 1, **fields})}\n\n"


def response(said: str = SAID, **fields: Any) -> dict[str, Any]:
    text = {"type": "output_text", "text": said, "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
    return {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed"} | {
        "output": [message],
        **fields,
    }


USAGE = {"prompt_tokens": 90, "completion_tokens": 30, "total_tokens": 120}
STOP = chunk(finish="stop")
ANSWERS = {
    "figures beside the end": chunk({"content": SAID}) + chunk(finish="stop", usage=USAGE),
    "thoughts in a field of their own": chunk({"reasoning_content": "Hm.", "content": None})
    + chunk({"content": SAID})
    + STOP
    + chunk(usage=USAGE)
    + "data: [DONE]\n\n",
    "no choices at all": 'data: {"object": "chat.completion.chunk", "choices": null}\n\n'
    + chunk({"content": SAID})
    + STOP
    + chunk(usage=USAGE),
    "signs of life": ": still loading\n\n" + chunk({"content": SAID}) + ": ping\n\n" + STOP + chunk(usage=USAGE),
}
UNCOUNTED = {
    "no figures": chunk({"content": SAID}) + STOP + "data: [DONE]\n\n",
    "figures that are none": chunk({"content": SAID}) + STOP + chunk(usage={"prompt_tokens": "many"}),
    "what no database takes": chunk({"content": "\ud800\x00"}) + chunk({"content": SAID}) + STOP,
}
NO_ANSWERS = {
    "a web page": "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>Welcome</html>",
    "another address": "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/v1\r\nContent-Length: 0\r\n\r\n",
    "a list": EVENTS + "data: [1, 2]\n\n",
    "a number for text": EVENTS + chunk({"content": 5}) + STOP,
    "a call of a tool": EVENTS + chunk({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, "tool_calls"),
    "no end": EVENTS + chunk({"content": SAID}),
    "no HTTP": "+PONG\r\n",
    "nothing": "",
}

MakeAnswerer = Callable[..., GenerativeAnswerer]


@pytest.mark.parametrize("name", [*ANSWERS, *UNCOUNTED])
async def test_chat_completions_are_understood(project: RagProject, make_answerer: MakeAnswerer, name: str) -> None:
    usage = TokenUsage()
    async with serving(EVENTS + (ANSWERS | UNCOUNTED)[name]) as base_url:
        answer = await with_answerer(project, make_answerer(base_url=base_url, api="chat")).ask(QUESTION, usage)
    assert [(citation.quote, citation.support) for citation in answer.citations] == [(QUOTE, "quoted")]
    assert answer.text.encode().endswith(b"After two years.")
    assert "\x00" not in answer.text
    if name in UNCOUNTED:
        assert (usage.estimated, usage.tokens_out > 5) == (True, True)
    else:
        assert (usage.tokens_in, usage.tokens_out, usage.estimated) == (90, 30, False)


@pytest.mark.parametrize(
    ("stream", "counted"),
    [
        (
            event("response.vendor.thinking", delta="Hm")
            + event("response.completed", response=response(usage={"input_tokens": 90, "output_tokens": 30})),
            True,
        ),
        (event("response.output_text.delta", delta=SAID) + event("response.completed", response=response()), False),
        (
            event("response.reasoning_text.delta", delta="Hm " * 9)
            + event("response.output_text.delta", delta=SAID)
            + event("response.completed", response=response(output=[], usage=None)),
            False,
        ),
    ],
)
async def test_responses_are_understood(
    project: RagProject, make_answerer: MakeAnswerer, stream: str, *, counted: bool
) -> None:
    usage = TokenUsage()
    async with serving(EVENTS + stream) as base_url:
        answer = await with_answerer(project, make_answerer(base_url=base_url, api="responses")).ask(QUESTION, usage)
    assert [citation.quote for citation in answer.citations] == [QUOTE]
    assert usage.estimated is not counted
    assert usage.tokens_in > 0


LONG = SAID + " word" * 200_000
ENDLESS = {
    "a chunk": ("chat", chunk({"content": LONG})),
    "a chunk that ends": ("chat", chunk({"content": LONG}, "stop")),
    "a chunk behind the end": ("chat", chunk({"content": SAID}, "stop") + chunk({"content": LONG}) + chunk()),
    "an event": ("responses", event("response.output_text.delta", delta=LONG)),
    "an event that ends": (
        "responses",
        event("response.completed", response=response(LONG)),
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_of_megabytes_at_once_the_longest_answer_is_kept(
    project: RagProject, make_answerer: MakeAnswerer, name: str
) -> None:
    api, stream = ENDLESS[name]
    usage = TokenUsage()
    async with serving(EVENTS + stream) as base_url:
        answerer = make_answerer(base_url=base_url, api=api, max_output_tokens=1000)
        answer = await with_answerer(project, answerer).ask(QUESTION, usage)
    assert answer.truncated
    assert [citation.quote for citation in answer.citations] == [QUOTE]
    assert 15_000 < len(answer.text) <= 16_000
    assert (usage.estimated, 3000 < usage.tokens_out <= 4000) == (True, True)


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_a_failure(
    project: RagProject, make_answerer: MakeAnswerer, api: str, name: str
) -> None:
    async with serving(NO_ANSWERS[name]) as base_url:
        with pytest.raises(ProviderError) as failed:
            await with_answerer(project, make_answerer(base_url=base_url, api=api)).ask(QUESTION)
    assert failed.value.code in {"provider_failed", "provider_rejected"}


async def test_one_that_declines_after_words_says_the_refusal_alone(
    project: RagProject, make_answerer: Callable[..., GenerativeAnswerer]
) -> None:
    said = chunk({"content": "The launch code is 4711. "}) + chunk({"refusal": "I cannot say more."})
    async with serving(EVENTS + said + chunk(finish="stop") + "data: [DONE]\n\n") as url:
        usage = TokenUsage()
        answer = await with_answerer(project, make_answerer(api="chat", base_url=url)).ask(QUESTION, usage)
    assert (answer.text, answer.answerable) == ("I cannot say more.", False)
    assert usage.tokens_out > 10, "all that was written"


async def test_thoughts_without_a_beginning_are_kept_back_from_the_second_answer_on(
    project: RagProject, server: ModelServer, make_answerer: Callable[..., GenerativeAnswerer]
) -> None:
    """In the first answer, nobody can know before its end that it began with thoughts."""
    asked = with_answerer(project, make_answerer(api="chat"))
    thoughts = f'They ask for the warranty [1: "{QUOTE}"]. I know that.'
    streamed = []
    server.running.simulator.behaviour.delta_seconds = 0.02
    for _ in range(2):
        server.script(f"{thoughts}</think>{SAID}")
        events_of_answer = asked.engine.ask(asked.tenant_id, asked.project_id, QUESTION, TokenUsage(), stream=True)
        events = [event async for event in events_of_answer]
        assert isinstance(events[-1], Final)
        assert events[-1].answer.text == "After two years."
        streamed.append("".join(event.text for event in events if isinstance(event, Text)))
    assert streamed[0] == "They ask for the warranty"
    assert "warranty" not in streamed[1]
