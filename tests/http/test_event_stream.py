"""Tests of event streams, for callers that read them and callers that do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.types import Message

from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.http import event_stream, problems
from fastapi_ignite.http.event_stream import EventStreamResponse, NamedEvents

CallerLeft = Callable[[], Awaitable[bool]]


class Line(BaseModel):
    text: str


Lines = AsyncGenerator[tuple[str, Line]]


class StreamCaller:
    """Simulates a caller that reads up to `reads` messages and then stops."""

    def __init__(self, *, reads: int = 10**6) -> None:
        self.messages: list[Message] = []
        self._reads = reads
        self._app = FastAPI()
        problems.install(self._app)

    @property
    def body(self) -> str:
        return b"".join(message.get("body", b"") for message in self.messages).decode()

    async def send(self, message: Message) -> None:
        if len(self.messages) >= self._reads:
            await asyncio.Event().wait()
        self.messages.append(message)

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def receive_events(self, events: NamedEvents) -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "app": self._app}
        await EventStreamResponse(Request(scope, self.receive), events)(scope, self.receive, self.send)


async def test_events_are_written_as_the_format_wants_them() -> None:
    async def events(_: CallerLeft) -> Lines:
        yield "line", Line(text="one\r\ntwo \u2028 three")
        yield "line", Line(text="")

    caller = StreamCaller()
    await caller.receive_events(events)
    first, second, end = caller.body.split("\n\n")
    assert (second, end) == ('event: line\ndata: {"text":""}\nid: 2', "")
    kind, data, number = first.split("\n")
    assert (kind, number) == ("event: line", "id: 1")
    assert json.loads(data.removeprefix("data: ")) == {"text": "one\r\ntwo \u2028 three"}
    assert caller.messages[-1]["more_body"] is False
    assert b"content-length" not in dict(caller.messages[0]["headers"])


async def test_a_long_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEPALIVE_SECONDS", 0.05)

    async def events(_: CallerLeft) -> Lines:
        await asyncio.sleep(0.3)
        yield "line", Line(text="at last")

    caller = StreamCaller()
    await caller.receive_events(events)
    pings, _, rest = caller.body.partition("event: ")
    assert 2 <= pings.count(": ping\n\n") <= 6
    assert "at last" in rest


async def test_one_who_does_not_read_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "STALLED_SECONDS", 0.05)
    left: list[bool] = []

    async def events(caller_left: CallerLeft) -> Lines:
        yield "line", Line(text="read")
        left.append(await caller_left())
        for _ in range(100):
            yield "line", Line(text="unread")
        left.append(await caller_left())

    caller = StreamCaller(reads=2)
    async with asyncio.timeout(60):
        await caller.receive_events(events)
    assert left == [False, True]
    assert len(caller.messages) == 2


async def test_an_error_is_the_last_event() -> None:
    async def events(_: CallerLeft) -> Lines:
        yield "line", Line(text="so far")
        raise UnavailableError("Try later.", headers={"Retry-After": "9"})

    caller = StreamCaller()
    await caller.receive_events(events)
    *_, error = caller.body.removesuffix("\n\n").split("\n\n")
    kind, data, _ = error.split("\n")
    told = json.loads(data.removeprefix("data: "))
    assert (kind, told["status"], told["detail"]) == ("event: error", 503, "Try later.")
    assert told["retry_after_seconds"] == 9
