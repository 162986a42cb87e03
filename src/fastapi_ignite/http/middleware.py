"""Plain ASGI middleware around every request.

There are two layers, because each layer makes functions of its own for each request. CORS is between them: it must see
the answer to an unexpected error, and its own answers need an id and a line in the log.
"""

from __future__ import annotations

import logging
import re
import secrets
import time

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_ignite.core.logging import log_event
from fastapi_ignite.http.problems import BodyTooLargeError, known_error, unexpected_error
from fastapi_ignite.http.security_headers import (
    NOT_IN_SHARED_CACHES,
    ON_EVERY_ANSWER,
    ONLY_HTTPS_FOR_A_YEAR,
    RawHeaders,
)

MAX_BODY_BYTES = 256 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET_PATHS = ("/health",)
log = logging.getLogger("fastapi_ignite.access")


class RequestContext:
    """The outer layer. It gives each request an id, a line in the log, and the headers that every answer has.

    A well-formed `X-Request-ID` of the client is kept. A security header that the response has set is kept too.
    """

    def __init__(self, app: ASGIApp, *, strict_transport: bool = False) -> None:
        self._app = app
        self._defaults = [*ON_EVERY_ANSWER, *([ONLY_HTTPS_FOR_A_YEAR] if strict_transport else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = _header(scope, b"x-request-id").decode("latin-1")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._complete([*message["headers"]], scope)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            _log(scope, status, started)

    def _complete(self, headers: RawHeaders, scope: Scope) -> RawHeaders:
        state = scope["state"]
        present = {name for name, _ in headers}
        headers += [default for default in self._defaults if default[0] not in present]
        if state.get("principal") is not None and NOT_IN_SHARED_CACHES[0] not in present:
            headers.append(NOT_IN_SHARED_CACHES)
        headers.append((b"x-request-id", state["request_id"].encode()))
        headers += state.get("rate_headers", ())
        return headers


def _header(scope: Scope, name: bytes) -> bytes:
    """Return the last value of a header, or nothing."""
    found = b""
    for key, value in scope["headers"]:
        if key == name:
            found = value
    return found


def _log(scope: Scope, status: int, started: float) -> None:
    path: str = scope["path"]
    principal = scope["state"].get("principal")
    log_event(
        log,
        logging.DEBUG if path.endswith(_QUIET_PATHS) else logging.INFO,
        "request",
        method=scope["method"],
        route=getattr(scope.get("route"), "path", path),
        status=status,
        milliseconds=round((time.perf_counter() - started) * 1000, 1),
        tenant_id=str(principal.tenant_id) if principal else None,
        client=scope["client"][0] if scope.get("client") else None,
    )


class RequestGuard:
    """The inner layer. It answers HEAD, unexpected errors, and bodies that are too large.

    - HEAD gets the headers of the GET of the same path. After the first piece of a streamed body the application is
      told that the client has disconnected.
    - Starlette's own handler of unexpected errors is outside of CORS, so a browser of another origin could not read
      its answer. An error after the start of the response is raised again; then the server cuts the response off.
    - A body is refused while it is read, whatever media type it declares. An operation that streams its body and has
      its own limits sets `request.state.streams_body` before it reads.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._answer_head(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send, self.max_bytes)
        response: Response | None = None
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.started:
                raise
            if not exchange.too_large:
                response = await unexpected_error(Request(scope), error)
        if exchange.too_large and not exchange.started:
            response = await known_error(Request(scope), exchange.refusal())
        if response:
            await response(scope, receive, send)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def receive_until_answered() -> Message:
            return {"type": "http.disconnect"} if answered else await receive()

        async def send_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
            elif not answered:
                answered = True
                await send({"type": "http.response.body", "body": b""})

        as_get = {**scope, "method": "GET"}
        try:
            await self._answer(as_get, receive_until_answered, send_headers)
        finally:
            scope["route"] = as_get.get("route")  # for the access log


class _Exchange:
    """Stands between the server and the application for one request."""

    __slots__ = ("_max_bytes", "_receive", "_received", "_scope", "_send", "_state", "started", "too_large")

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_bytes: int) -> None:
        self._scope = scope
        self._state = scope.setdefault("state", {})
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._received = 0
        self.too_large = False
        self.started = False

    async def receive(self) -> Message:
        """Receive a piece of the body.

        Raises:
            BodyTooLargeError: the body is larger than it may be, or says so before its first byte.
        """
        if self._state.get("streams_body"):
            return await self._receive()
        if not self._received and self._declared_bytes() > self._max_bytes:
            self.too_large = True
            raise self.refusal()
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._max_bytes:
            self.too_large = True
            raise self.refusal()
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response, but not the one that the application makes out of our refusal."""
        if self.started or not self.too_large:
            self.started = True
            await self._send(message)

    def refusal(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"A body may have at most {self._max_bytes} bytes.", max_bytes=self._max_bytes)

    def _declared_bytes(self) -> int:
        declared = _header(self._scope, b"content-length")
        return int(declared) if declared.isdigit() else 0
