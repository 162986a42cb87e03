"""The application with a crash point at each step of a question; only `bench/idempotency.py` runs it.

`X-Crash-At: <point>` kills the process there with SIGKILL. `X-Redis-At: <point> <flush | cut | hang>` instead flushes
Redis, breaks its connections or keeps them silent, through the address in `REDIS_LINE_CONTROL`; the request goes on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import IdempotencyStore
from fastapi_ignite.main import create_app
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.usage.service import UsageService

POINTS = (
    "after_claim",
    "after_reserve",
    "before_model",
    "after_model",
    "before_commit",
    "after_commit",
    "before_reply",
)
CONTROL_VARIABLE = "REDIS_LINE_CONTROL"
Method = Callable[..., Awaitable[Any]]
_headers: ContextVar[dict[bytes, bytes] | None] = ContextVar("crash_headers", default=None)
_settling: ContextVar[bool] = ContextVar("crash_settling", default=False)


def reach(point: str) -> None:
    """Do what the request's headers want to happen at this point."""
    headers = _headers.get() or {}
    if headers.get(b"x-crash-at", b"").decode() == point:
        os.kill(os.getpid(), signal.SIGKILL)
    where, _, action = headers.get(b"x-redis-at", b"").decode().partition(" ")
    if where == point:
        with socket.create_connection(("127.0.0.1", int(os.environ[CONTROL_VARIABLE]))) as control:
            control.sendall(f"{action}\n".encode())
            control.recv(16)


class Bombs:
    """Makes the headers of a request available to the crash points, and is itself the last point."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _headers.set(dict(scope["headers"]))

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                reach("before_reply")
            await send(message)

        await self.app(scope, receive, watched)


def _around(owner: type, name: str, *, before: str | None = None, after: str | None = None) -> None:
    method: Method = getattr(owner, name)

    @functools.wraps(method)
    async def watched(*args: Any, **kwargs: Any) -> Any:
        if before:
            reach(before)
        result = await method(*args, **kwargs)
        if after:
            reach(after)
        return result

    setattr(owner, name, watched)


def _mark_settling() -> None:
    complete = IdempotencyStore.complete

    async def marked(*args: Any, **kwargs: Any) -> None:
        await complete(*args, **kwargs)
        _settling.set(True)

    IdempotencyStore.complete = marked  # type: ignore[method-assign]  # the crash point follows this call


def _around_the_last_commit() -> None:
    transaction = Database._transaction  # noqa: SLF001  all transactions begin here

    @contextlib.asynccontextmanager
    async def watched(*args: Any) -> AsyncGenerator[Any]:
        async with transaction(*args) as session:
            yield session
            if _settling.get():
                reach("before_commit")
        if _settling.get():
            _settling.set(False)
            reach("after_commit")

    Database._transaction = watched  # type: ignore[method-assign, assignment]  # noqa: SLF001


def bombed() -> FastAPI:
    """Return the application for Uvicorn."""
    _around(IdempotencyStore, "claim", after="after_claim")
    _around(UsageService, "reserve", after="after_reserve")
    _around(LocalEngine, "ask", before="before_model", after="after_model")
    _mark_settling()
    _around_the_last_commit()
    app = create_app()
    app.add_middleware(Bombs)
    return app
