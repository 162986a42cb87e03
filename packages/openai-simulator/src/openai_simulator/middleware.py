"""Handles every call under `/v1` before its endpoint: key, counters, latency, and faults around the call."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

import structlog
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_simulator.errors import ApiError
from openai_simulator.faults import ENDPOINT_FAULTS, Fault, FaultKind
from openai_simulator.simulator import Simulator

PREFIX: Final = "/v1"
CRASH_STATUS: Final = 70
HANG_SECONDS: Final = 3600
JSON_BYTES: Final = 32 * 1024**2
RECORDED_BODY_BYTES: Final = 64 * 1024
RECORDED_HEADERS: Final = ("openai-organization", "openai-project", "x-client-request-id", "idempotency-key")
log = structlog.get_logger(__name__)


def crash(where: str) -> None:
    """End the process at once and without any cleanup, as a power cut would."""
    log.warning("the OpenAI simulator crashes as it was told to", where=where)
    os._exit(CRASH_STATUS)


class ApiMiddleware:
    """The middleware of the API. It is pure ASGI, because it cuts connections and drops answers."""

    def __init__(self, app: ASGIApp, simulator: Simulator, routes: Sequence[APIRoute]) -> None:
        self._app = app
        self._simulator = simulator
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        call = _Call(self._simulator, scope, receive, send, self._name(scope))
        self._simulator.journal.in_flight += 1
        try:
            await call.run(self._app)
        finally:
            self._simulator.journal.in_flight -= 1

    def _name(self, scope: Scope) -> str:
        path = scope["path"].removeprefix(PREFIX)
        for route in self._routes:
            if scope["method"] in (route.methods or ()) and route.path_regex.match(path):
                return route.name
        return "unknown"


class _Call:
    def __init__(self, simulator: Simulator, scope: Scope, receive: Receive, send: Send, route: str) -> None:
        self._simulator = simulator
        self._scope = scope
        self._receive = receive
        self._send = send
        self._route = route
        self._body = bytearray()
        headers = Headers(scope=scope)
        self._record: dict[str, Any] = {
            "request_id": f"req_{uuid4().hex}",
            "route": route,
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "headers": {name: headers[name] for name in RECORDED_HEADERS if name in headers},
            "status": None,
            "body": None,
        }
        self._is_json = headers.get("content-type", "").startswith("application/json")

    async def run(self, app: ASGIApp) -> None:
        journal = self._simulator.journal
        journal.calls[self._route] += 1
        journal.records.append(self._record)
        try:
            self._authenticate()
            self._bound_body()
        except ApiError as error:
            await self._answer(error)
            return
        if latency := self._simulator.behaviour.latency(self._route):
            await self._simulator.pause(latency)
        fault = self._simulator.faults.take(self._route)
        if fault is not None:
            journal.faults[fault.kind] += 1
        if fault is None or fault.kind in ENDPOINT_FAULTS:
            self._scope["state"]["fault"] = fault
            await app(self._scope, self._read, self._write)
            return
        if fault.when == "after":
            self._scope["state"]["fault"] = None
            await app(self._scope, self._read, _drop)
        await self._fail(fault)

    def _authenticate(self) -> None:
        scheme, _, key = Headers(scope=self._scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise ApiError(401, "You didn't provide an API key in an Authorization header using Bearer auth.")
        expected = self._simulator.behaviour.api_key
        if expected is not None and key.strip() != expected:
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _bound_body(self) -> None:
        length = int(Headers(scope=self._scope).get("content-length", "0"))
        limit = JSON_BYTES if self._is_json else self._simulator.behaviour.max_file_bytes + JSON_BYTES
        if length > limit:
            raise ApiError(413, f"Maximum content size limit ({limit}) exceeded ({length} bytes sent).")

    async def _fail(self, fault: Fault) -> None:
        if fault.kind is FaultKind.CRASH:
            crash(f"{fault.when} {self._route}")
        if fault.kind is FaultKind.STATUS:
            await self._answer(fault.error())
        elif fault.kind is FaultKind.NO_ENDPOINT:
            said = f"Unexpected endpoint or method. ({self._scope['method']} {self._scope['path']})"
            await JSONResponse({"error": said})(self._scope, self._read, self._write)
        elif fault.kind is FaultKind.RESET:
            abort(self._scope)
        else:
            await self._hang()

    async def _hang(self) -> None:
        """Send nothing until the client disconnects or the simulator is stopped or reset."""
        gone = asyncio.create_task(self._wait_for_disconnect())
        interrupted = asyncio.create_task(self._simulator.interrupted.wait())
        _, pending = await asyncio.wait({gone, interrupted}, timeout=HANG_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        abort(self._scope)

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _answer(self, error: ApiError) -> None:
        response = JSONResponse(error.body(), error.status, headers=error.headers)
        await response(self._scope, self._read, self._write)

    async def _read(self) -> Message:
        message = await self._receive()
        if self._is_json and message["type"] == "http.request":
            self._body += message.get("body", b"")
            if not message.get("more_body", False) and len(self._body) <= RECORDED_BODY_BYTES:
                self._record["body"] = _parsed(self._body)
        return message

    async def _write(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._record["status"] = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._record["request_id"]
            headers["openai-version"] = "2020-10-01"
            if self._simulator.behaviour.poll_after_ms is not None and self._route.endswith("retrieve"):
                headers["openai-poll-after-ms"] = str(self._simulator.behaviour.poll_after_ms)
        await self._send(message)


def abort(scope: Scope) -> None:
    """Cut the connection at once. `server` puts the function for it into the scope."""
    cut: Callable[[], None] = scope["extensions"]["connection"]["abort"]
    cut()


def close(scope: Scope) -> None:
    """Close the connection after the data already written was sent."""
    cut: Callable[[], None] = scope["extensions"]["connection"]["close"]
    cut()


def fault_of(request: Request) -> Fault | None:
    """Return the fault that the endpoint itself must produce, or None."""
    fault: Fault | None = request.scope["state"].get("fault")
    return fault


def _parsed(body: bytearray) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


async def _drop(_: Message) -> None:
    """Drop a message: the call has its effect, but the client gets no answer."""
