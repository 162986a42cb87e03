"""Server-sent events as an answer: numbered, typed, kept alive, and written to nobody who does not read them.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from fastapi_ignite.http.problems import problem_of

MEDIA_TYPE = "text/event-stream"
# proxies close a connection on which nothing came for a minute, or half of one
KEEPALIVE_SECONDS = 15.0
# one who does not read for so long has left
STALLED_SECONDS = 30.0


class Events:
    """The way to one caller. Nothing raises when nobody is there any more: then nothing is sent."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send
        self._turn = asyncio.Lock()
        self._number = 0
        self._sent_at = time.monotonic()
        self._stalled = False

    async def left(self) -> bool:
        """Whether the caller closed the connection, or does not read."""
        return self._stalled or await self._request.is_disconnected()

    async def emit(self, event: str, data: BaseModel) -> None:
        """Send one; returns when the network has it."""
        await self._emit(event, data.model_dump_json(by_alias=True))

    async def fail(self, error: Exception) -> None:
        """The last event: the problem that would have been the answer, with `retry_after_seconds` where it is known."""
        problem = await problem_of(self._request, error)
        told = json.loads(bytes(problem.body))
        if wait := problem.headers.get("retry-after"):
            told["retry_after_seconds"] = int(wait)
        await self._emit("error", json.dumps(told, ensure_ascii=False, separators=(",", ":")))

    async def keep_alive(self) -> None:
        """Until it is cancelled, break every long silence."""
        while True:
            silence = time.monotonic() - self._sent_at
            if silence >= KEEPALIVE_SECONDS:
                await self.write(KEEPALIVE_COMMENT)
                silence = 0
            await asyncio.sleep(KEEPALIVE_SECONDS - silence)

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Bytes of the body, in turn."""
        async with self._turn:
            if self._stalled:
                return
            self._sent_at = time.monotonic()
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await self._send({"type": "http.response.body", "body": data, "more_body": more})
            except (TimeoutError, OSError):
                self._stalled = True

    async def _emit(self, event: str, data: str) -> None:
        self._number += 1
        await self.write(format_sse_event(event=event, data_str=data, id=str(self._number)))


class EventStreamResponse(Response):
    """Made while it is sent, in the request's own task. `headers` may be those that FastAPI would have merged."""

    media_type = MEDIA_TYPE

    def __init__(
        self, request: Request, produce: Callable[[Events], Awaitable[None]], *, headers: Headers | None = None
    ) -> None:
        super().__init__(headers={**(headers or {}), "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An error is the last event: the status was sent before."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        events = Events(self._request, send)
        keeping = asyncio.create_task(events.keep_alive())
        try:
            await self._produce(events)
        except Exception as error:  # noqa: BLE001  it is logged and told as any other answer's
            await events.fail(error)
        finally:
            keeping.cancel()
        await events.write(b"", more=False)
