"""The local engine with something happening in the middle of its work."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import State
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import Answer, DocumentSource, TokenUsage
from fastapi_ignite.rag.local.engine import LocalEngine, PreparedDocument
from http_clients import TenantClient, client_for

Event = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """The default event."""


class InterruptedEngine(LocalEngine):
    """Runs an event after each document it prepared and each answer it found, when the caller knows of neither."""

    def __init__(self, database: Database, *, prepared: Event = nothing, answered: Event = nothing) -> None:
        super().__init__(database, embedder="minilm")
        self._prepared = prepared
        self._answered = answered
        self.answers = 0

    async def prepare(self, source: DocumentSource) -> PreparedDocument:
        document = await super().prepare(source)
        await self._prepared()
        return document

    async def ask(self, tenant_id: UUID, project_id: UUID, question: str, usage: TokenUsage) -> Answer:
        self.answers += 1
        answer = await super().ask(tenant_id, project_id, question, usage)
        await self._answered()
        return answer


@asynccontextmanager
async def interrupted(
    tenant: TenantClient, settings: Settings, state: State, answered: Event
) -> AsyncGenerator[tuple[TenantClient, InterruptedEngine]]:
    """The tenant, calling an API whose engine lets `answered` happen between an answer and its settlement."""
    engine = InterruptedEngine(state["database"], answered=answered)
    async with client_for(settings, {**state, "engines": {engine.name: engine}}) as client:
        yield TenantClient(tenant.id, client, tenant.headers), engine
