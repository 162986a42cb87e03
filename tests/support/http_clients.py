"""Callers of the API: anonymous ones, and tenants with their token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
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
    """The application as a server runs it: the lifespan's state is in every request's scope."""

    def __init__(self, app: ASGIApp, state: AppState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Each request gets a copy, as from uvicorn."""
        scope["state"] = dict(self._state)
        await self._app(scope, receive, send)


Event = tuple[str, dict[str, Any]]


class EventReader:
    """Reads typed events from an answer, in order, and checks that they are numbered."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()
        self._number = 0

    async def next(self) -> Event:
        """The next one; comments are passed over."""
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
        """All up to one of this kind."""
        events = [await self.next()]
        while events[-1][0] != last:
            events.append(await self.next())
        return events


class Departure:
    """Callers of the application close their connection once `at` is set, and the response is still read."""

    def __init__(self, app: ASGIApp, at: asyncio.Event) -> None:
        self._app = app
        self._at = at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The body arrives whole."""
        whole = False

        async def until_departure() -> Message:
            nonlocal whole
            if whole:
                await self._at.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, until_departure, send)


_applications: list[tuple[Settings, FastAPI]] = []


def application(settings: Settings) -> FastAPI:
    """One for all tests with equal settings: FastAPI prepares the routes of each application anew."""
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
    """A client of an application with these settings and this state."""
    verifier = TokenVerifier(settings, keys=keys)
    state = {**state, "settings": settings, "tokens": verifier}
    app: ASGIApp = WithState(application(settings), state)
    if leaving is not None:
        app = Departure(app, leaving)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(address, 123))
    return httpx2.AsyncClient(transport=transport, base_url="http://ignite.test/api/v1", timeout=90)


@asynccontextmanager
async def served_client(settings: Settings, state: AppState) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of an application behind a server, for answers that are read while they are made."""
    verifier = TokenVerifier(settings)
    app = WithState(application(settings), {**state, "settings": settings, "tokens": verifier})
    config = uvicorn.Config(app, http=BoundedProtocol, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    async with served(config) as origin, httpx2.AsyncClient(base_url=f"{origin}/api/v1", timeout=90) as client:
        yield client


class UnreadBody:
    """A body that notes whether anybody asked for it."""

    def __init__(self) -> None:
        self.read = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        self.read = True
        yield b"{}"


@dataclass(frozen=True, slots=True)
class TenantClient:
    """A tenant and its authenticated caller."""

    id: UUID
    http: httpx2.AsyncClient
    headers: dict[str, str]

    async def create_project(self, name: str = "Docs") -> str:
        """The id of a project of this name."""
        answer = await self.http.post("/ingestion/projects/create", params={"name": name}, headers=self.headers)
        assert answer.is_success, answer.text
        project_id: str = answer.json()["id"]
        return project_id

    async def get(self, path: str, **options: object) -> httpx2.Response:
        """As this tenant."""
        return await self.http.get(path, headers=self.headers, **options)  # type: ignore[arg-type]  # passed on as is

    async def post(self, path: str, headers: dict[str, str] | None = None, **options: object) -> httpx2.Response:
        """As this tenant."""
        merged = {**self.headers, **(headers or {})}
        return await self.http.post(path, headers=merged, **options)  # type: ignore[arg-type]  # passed on as is

    async def delete(self, path: str, **options: object) -> httpx2.Response:
        """As this tenant."""
        return await self.http.delete(path, headers=self.headers, **options)  # type: ignore[arg-type]  # as is

    async def upload(self, project_id: str, *files: tuple[str, bytes], wait_seconds: int = 30) -> httpx2.Response:
        """Upload and wait."""
        return await self.post(
            f"/ingestion/projects/{project_id}/upload_and_attach",
            params={"wait_seconds": wait_seconds},
            files=[("files", file) for file in files],
        )

    async def ask(self, project_id: str, question: str, **options: object) -> httpx2.Response:
        """Ask a question of a project."""
        return await self.post("/query/ask", json={"project_id": project_id, "question": question}, **options)  # type: ignore[arg-type]  # passed on as is

    async def search(self, project_id: str, query: str, **wanted: object) -> httpx2.Response:
        """Search a project; `wanted` are further fields of the body."""
        return await self.post("/query/search", json={"project_id": project_id, "query": query, **wanted})

    @asynccontextmanager
    async def stream(self, project_id: str, question: str) -> AsyncGenerator[EventReader]:
        """Ask, and read the answer while it is made; ends by leaving."""
        body = {"project_id": project_id, "question": question, "stream": True}
        async with self.http.stream("POST", "/query/ask", json=body, headers=self.headers) as answer:
            yield EventReader(answer)


TenantFactory = Callable[..., Awaitable[TenantClient]]


def tenant_factory(client: httpx2.AsyncClient, settings: Settings) -> TenantFactory:
    """New tenants of the client's application, with a token of these settings."""

    async def make(plan_id: str = "hobby", billing_cycle: str = "monthly") -> TenantClient:
        answer = await client.post(
            "/tenants/create", params={"name": "Acme Co", "plan_id": plan_id, "billing_cycle": billing_cycle}
        )
        assert answer.is_success, answer.text
        tenant_id = UUID(answer.json()["tenant_id"])
        return TenantClient(tenant_id, client, {"Authorization": f"Bearer {sign_token(tenant_id, settings)}"})

    return make
