"""Plain ASGI middleware: request id, access log, rate limit headers, HEAD, unexpected errors, body limit."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_ignite.http.problems import BodyTooLargeError, problem_response, unexpected_error

MAX_BODY_BYTES = 256 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET_PATHS = ("/health",)
log = structlog.get_logger("fastapi_ignite.access")


class RequestContext:
    """Gives each request an id (a well-formed `X-Request-ID` of the client is kept) and one line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
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
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in scope["state"].get("rate_headers", {}).items():
                    headers[name] = value
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            self._log(scope, status, started)

    @staticmethod
    def _log(scope: Scope, status: int, started: float) -> None:
        path: str = scope["path"]
        principal = scope["state"].get("principal")
        write = log.debug if path.endswith(_QUIET_PATHS) else log.info
        write(
            "request",
            method=scope["method"],
            route=getattr(scope.get("route"), "path", path),
            status=status,
            milliseconds=round((time.perf_counter() - started) * 1000, 1),
            tenant_id=str(principal.tenant_id) if principal else None,
            client=scope["client"][0] if scope.get("client") else None,
        )


class HeadRequests:
    """Answers HEAD with the headers of the GET of the same path, without its body.

    After the first piece of a streamed body the application is told that the client has disconnected.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
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
            await self.app(as_get, receive_until_answered, send_headers)
        finally:
            scope["route"] = as_get.get("route")  # for the access log


class UnexpectedErrors:
    """Answers unexpected exceptions. It is the innermost middleware, so that the others add their headers.

    Starlette's own handler is outside all of them, so a browser of another origin could not read its answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the exception, or raise it again once the response has begun; then the server cuts it off."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note_start)
        except Exception as error:
            if started:
                raise
            response = await unexpected_error(Request(scope), error)
            await response(scope, receive, send)


class BodyLimit:
    """Refuses too large bodies while they are read, whatever media type they declare.

    An operation that streams its body and has its own limits sets `request.state.streams_body` before it reads.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        declared = dict(scope["headers"]).get(b"content-length", b"")
        declared_too_large = declared.isdigit() and int(declared) > self.max_bytes
        received = 0
        cut = started = False

        async def bounded_receive() -> Message:
            nonlocal received, cut
            if state.get("streams_body"):
                return await receive()
            if declared_too_large:
                cut = True
                raise self._error()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                cut = True
                raise self._error()
            return message

        async def send_unless_cut(message: Message) -> None:
            nonlocal started
            if started or not cut:
                started = True
                await send(message)

        await self.app(scope, bounded_receive, send_unless_cut)
        if cut and not started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._error()
        response = problem_response(
            Request(scope), status=error.status, code=error.code, title=error.title, detail=error.detail
        )
        await response(scope, receive, send)

    def _error(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"A body may have at most {self.max_bytes} bytes.", max_bytes=self.max_bytes)
