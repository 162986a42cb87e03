"""Clients of the API: anonymous ones, and tenants with their token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.security import KeySource, TokenVerifier, sign_token
from fastapi_ignite.http.server_protocol import BoundedProtocol
from fastapi_ignite.http.state import AppState
from fastapi_ignite.main import create_app

from openai_simulator.server import served


class WithState:
    """Runs an application as a server does: the lifespan's state is in the scope of every request."""

    def __init__(self, app: ASGIApp, state: AppState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give each request its own copy of the state, as uvicorn does."""
        scope["state"] = dict(self._state)
        await self._app(scope, receive, send)


Event = tuple[str, dict[str, Any]]


class EventReader:
    """Reads typed events from an answer, in order, and checks their numbers."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()
        self._number = 0

    async def next(self) -> Event:
        """Return the next event; comments are skipped."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line and fields:
                self._number += 1
                assert int(fields["id"]) == self._number
                return fields["event"], json.loads(fields["data"])
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
        raise StopAsyncIteration

    async def until(self, last: str) -> list[Event]:
        """Return all events up to and including the first one of the kind `last`."""
        events = [await self.next()]
        while events[-1][0] != last:
            events.append(await self.next())
        return events


class Disconnecting:
    """Makes clients disconnect once `at` is set; what the application still sends can be read."""

    def __init__(self, app: ASGIApp, at: asyncio.Event) -> None:
        self._app = app
        self._at = at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Report the disconnection only after the whole request body was read."""
        whole = False

        async def receive_until_disconnect() -> Message:
            nonlocal whole
            if whole:
                await self._at.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, receive_until_disconnect, send)


_applications: list[tuple[Settings, FastAPI]] = []


def application(settings: Settings) -> FastAPI:
    """Return one application for all tests with equal settings, because making its routes takes long."""
    for known, app in _applications:
        if known == settings:
            return app
    _applications.append((settings, create_app(settings)))
    return _applications[-1][1]


def client_for(
    settings: Settings,
    state: AppState,
    *,
    keys: KeySource | None = None,
    address: str = "127.0.0.1",
    leaving: asyncio.Event | None = None,
) -> httpx2.AsyncClient:
    """Return a client of an application with these settings and this state."""
    verifier = TokenVerifier(settings, keys=keys)
    state = {**state, "settings": settings, "tokens": verifier}
    app: ASGIApp = WithState(application(settings), state)
    if leaving is not None:
        app = Disconnecting(app, leaving)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(address, 123))
    return httpx2.AsyncClient(transport=transport, base_url="http://ignite.test/api/v1", timeout=90)


@asynccontextmanager
async def served_client(settings: Settings, state: AppState) -> AsyncGenerator[httpx2.AsyncClient]:
    """Return a client of an application behind a real server, for answers that are read while they are made."""
    verifier = TokenVerifier(settings)
    app = WithState(application(settings), {**state, "settings": settings, "tokens": verifier})
    config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    async with served(config) as origin, httpx2.AsyncClient(base_url=f"{origin}/api/v1", timeout=90) as client:
        yield client


class UnreadBody:
    """A request body that records whether anybody read it."""

    def __init__(self) -> None:
        self.read = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        self.read = True
        yield b"{}"


@dataclass(frozen=True, slots=True)
class TenantClient:
    """A tenant, and a client that sends its token."""

    id: UUID
    http: httpx2.AsyncClient
    headers: dict[str, str]

    async def create_project(self, name: str = "Docs") -> str:
        """Create a project, and return its id."""
        answer = await self.http.post("/ingestion/projects/create", params={"name": name}, headers=self.headers)
        assert answer.is_success, answer.text
        project_id: str = answer.json()["id"]
        return project_id

    async def get(self, path: str, **options: object) -> httpx2.Response:
        return await self.http.get(path, headers=self.headers, **options)  # type: ignore[arg-type]  # passed on as is

    async def post(self, path: str, headers: dict[str, str] | None = None, **options: object) -> httpx2.Response:
        merged = {**self.headers, **(headers or {})}
        return await self.http.post(path, headers=merged, **options)  # type: ignore[arg-type]  # passed on as is

    async def put(self, path: str, headers: dict[str, str] | None = None, **options: object) -> httpx2.Response:
        merged = {**self.headers, **(headers or {})}
        return await self.http.put(path, headers=merged, **options)  # type: ignore[arg-type]  # passed on as is

    async def patch(self, path: str, **options: object) -> httpx2.Response:
        return await self.http.patch(path, headers=self.headers, **options)  # type: ignore[arg-type]  # passed on as is

    async def delete(self, path: str, **options: object) -> httpx2.Response:
        return await self.http.delete(path, headers=self.headers, **options)  # type: ignore[arg-type]  # as is

    async def upload(
        self,
        project_id: str,
        *files: tuple[str, bytes],
        wait_seconds: int = 30,
        attributes: Mapping[str, object] | None = None,
        **options: object,
    ) -> httpx2.Response:
        """Upload files, and wait until they are processed or `wait_seconds` have passed."""
        return await self.post(
            f"/ingestion/projects/{project_id}/upload_and_attach",
            params={"wait_seconds": wait_seconds},
            files=[("files", file) for file in files],
            data={} if attributes is None else {"attributes": json.dumps(attributes)},
            **options,  # type: ignore[arg-type]  # passed on as is
        )

    async def ask(
        self, project_id: str, question: str, *, filters: Mapping[str, Any] | None = None, **options: object
    ) -> httpx2.Response:
        body = {"project_id": project_id, "question": question, **({"filters": filters} if filters else {})}
        return await self.post("/query/ask", json=body, **options)  # type: ignore[arg-type]  # passed on as is

    async def search(self, project_id: str, query: str, **wanted: object) -> httpx2.Response:
        """Search a project; `wanted` holds further fields of the request body."""
        return await self.post("/query/search", json={"project_id": project_id, "query": query, **wanted})

    @asynccontextmanager
    async def stream(self, project_id: str, question: str, **wanted: object) -> AsyncGenerator[EventReader]:
        """Ask a question, and yield a reader of the streamed answer; at the end the client disconnects.

        `wanted` holds further fields of the request body.
        """
        body = {"project_id": project_id, "question": question, "stream": True, **wanted}
        async with self.http.stream("POST", "/query/ask", json=body, headers=self.headers) as answer:
            yield EventReader(answer)


TenantFactory = Callable[..., Awaitable[TenantClient]]


def tenant_factory(client: httpx2.AsyncClient, settings: Settings) -> TenantFactory:
    """Return a function that makes tenants through this client; their tokens fit these settings."""

    async def make(plan_id: str = "hobby", billing_cycle: str = "monthly") -> TenantClient:
        answer = await client.post(
            "/tenants/create", params={"name": "Acme Co", "plan_id": plan_id, "billing_cycle": billing_cycle}
        )
        assert answer.is_success, answer.text
        tenant_id = UUID(answer.json()["tenant_id"])
        return TenantClient(tenant_id, client, {"Authorization": f"Bearer {sign_token(tenant_id, settings)}"})

    return make
