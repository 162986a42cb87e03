"""Server-sent events: numbered, with keep-alive comments, and stopped when the client does not read them.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import TypeAlias

from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from fastapi_ignite.http.problems import problem_of

MEDIA_TYPE = "text/event-stream"
# proxies close a connection that is silent for 30 or 60 seconds
KEEPALIVE_SECONDS = 15.0
# a client that has read nothing for so long counts as disconnected
STALLED_SECONDS = 30.0
# Name and data of an event, and its id. Events without an id of their own are numbered.
NamedEvent: TypeAlias = tuple[str, BaseModel] | tuple[str, BaseModel, str]
# Gives the events. Its argument tells whether the client has left.
NamedEvents = Callable[[Callable[[], Awaitable[bool]]], AsyncGenerator[NamedEvent]]


class _Wire:
    """The stream to one client. Once the client is gone, methods send nothing and raise nothing."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send
        self._lock = asyncio.Lock()
        self._number = 0
        self._is_numbered = True  # an error gets no number among ids that a client sends back to go on
        self._sent_at = time.monotonic()
        self._stalled = False

    async def is_disconnected(self) -> bool:
        """Tell whether the client closed the connection, or has stopped reading."""
        return self._stalled or await self._request.is_disconnected()

    async def emit(self, name: str, data: BaseModel, event_id: str | None = None) -> None:
        """Send one event. It returns when the data is in the socket's buffer."""
        self._number += 1
        self._is_numbered = event_id is None
        await self._emit(name, data.model_dump_json(by_alias=True), event_id or str(self._number))

    async def fail(self, error: Exception) -> None:
        """Send the error as the last event: its problem document, with `retry_after_seconds` if known."""
        problem = await problem_of(self._request, error)
        members = json.loads(bytes(problem.body))
        if wait := problem.headers.get("retry-after"):
            members["retry_after_seconds"] = int(wait)
        self._number += 1
        data = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
        await self._emit("error", data, str(self._number) if self._is_numbered else None)

    async def keep_alive(self) -> None:
        """Send a comment after every long silence, until this task is cancelled."""
        while True:
            silence = time.monotonic() - self._sent_at
            if silence >= KEEPALIVE_SECONDS:
                await self.write(KEEPALIVE_COMMENT)
                silence = 0
            await asyncio.sleep(KEEPALIVE_SECONDS - silence)

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send bytes of the body. Concurrent calls are serialised."""
        async with self._lock:
            if self._stalled:
                return
            self._sent_at = time.monotonic()
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await self._send({"type": "http.response.body", "body": data, "more_body": more})
            except (TimeoutError, OSError):
                self._stalled = True

    async def _emit(self, event: str, data: str, event_id: str | None) -> None:
        await self.write(format_sse_event(event=event, data_str=data, id=event_id))


class EventStreamResponse(Response):
    """A response of named events. `headers` are those of the `Response` that FastAPI injected.

    `events` is told how to find out that the client has left. An error that it raises is sent as the last event.
    `admission` is entered before the response begins, and left when it has ended, however it ends. An error that it
    raises is the answer. `begins_with` is sent at once, so that a client knows that it is connected.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        request: Request,
        events: NamedEvents,
        *,
        headers: Headers | None = None,
        admission: AbstractContextManager[None] | None = None,
        begins_with: bytes = b"",
    ) -> None:
        super().__init__(headers={**(headers or {}), "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._events = events
        self._admission = admission or nullcontext()
        self._begins_with = begins_with

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        with self._admission:
            await self._stream(send)

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        wire = _Wire(self._request, send)
        if self._begins_with:
            await wire.write(self._begins_with)
        keep_alive = asyncio.create_task(wire.keep_alive())
        try:
            async with aclosing(self._events(wire.is_disconnected)) as events:
                async for event in events:
                    await wire.emit(*event)
        except Exception as error:  # noqa: BLE001  the status was sent already, so it is logged and sent as the last event
            await wire.fail(error)
        finally:
            keep_alive.cancel()
        await wire.write(b"", more=False)
