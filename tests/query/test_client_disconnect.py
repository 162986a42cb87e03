"""A client that disconnects stops the model, unless it sent a key with which it may fetch the answer later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import httpx2

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import AnswerEvent, AttributeCondition, FoundPassage, RagEngine, TokenUsage
from support.http_clients import TenantClient, client_for
from support.interrupted_engines import InterruptedEngine
from support.tenant_records import counter, rows_of

QUESTION = "How many apple trees does the orchard keep?"


class SlowEngine(InterruptedEngine):
    """An engine that waits for its client to disconnect; before that, it has spent `spent` tokens."""

    def __init__(self, inner: RagEngine, left: asyncio.Event, *, spent: int) -> None:
        super().__init__(inner)
        self._left = left
        self._spent = spent
        self.stopped = False

    async def ask(
        self,
        tenant_id: UUID,
        project_id: UUID,
        question: str,
        usage: TokenUsage,
        *,
        stream: bool = False,
        within: AttributeCondition | None = None,
    ) -> AsyncGenerator[AnswerEvent]:
        usage.tokens_in += self._spent
        await self._be_left()
        asking = super().ask(tenant_id, project_id, question, usage, stream=stream, within=within)
        async with aclosing(asking) as events:
            async for event in events:
                yield event

    async def search(
        self,
        tenant_id: UUID,
        project_id: UUID,
        query: str,
        limit: int,
        *,
        within: AttributeCondition | None = None,
        per_document: int | None = None,
    ) -> Sequence[FoundPassage]:
        await self._be_left()
        return await super().search(tenant_id, project_id, query, limit, within=within, per_document=per_document)

    async def _be_left(self) -> None:
        self._left.set()
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.stopped = True
            raise


@asynccontextmanager
async def leaving(
    tenant: TenantClient, settings: Settings, state: AppState, *, spent: int = 10
) -> AsyncGenerator[tuple[TenantClient, SlowEngine]]:
    left = asyncio.Event()
    engine = SlowEngine(state["engines"][settings.default_engine], left, spent=spent)
    async with client_for(settings, {**state, "engines": engine.alone()}, leaving=left) as client:
        yield TenantClient(tenant.id, client, tenant.headers), engine


async def question_of(database: Database, tenant: TenantClient) -> tuple[str, int | None]:
    (row,) = await rows_of(database, tenant.id, "SELECT state, tokens_in FROM messages")
    return row["state"], row["tokens_in"]


async def test_the_engine_is_stopped_and_the_message_used(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database
) -> None:
    async with leaving(tenant, engine_settings, state) as (caller, engine):
        answer = await caller.ask(project, QUESTION)
    assert (answer.status_code, engine.stopped, engine.answers) == (499, True, 0)
    assert await question_of(database, tenant) == ("cancelled", 10)
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_before_the_engine_worked_nothing_is_used(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database
) -> None:
    async with leaving(tenant, engine_settings, state, spent=0) as (caller, engine):
        await caller.ask(project, QUESTION)
    assert engine.stopped
    assert await question_of(database, tenant) == ("failed", None)
    assert await counter(database, tenant.id, "messages") == (0, 0)


async def test_with_a_key_the_answer_is_there_to_come_back_for(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState, database: Database
) -> None:
    key = {"Idempotency-Key": "kept", "Prefer": "idempotency=replay"}
    async with leaving(tenant, engine_settings, state) as (caller, engine):
        first: httpx2.Response = await caller.ask(project, QUESTION, headers=key)
    again = await tenant.ask(project, QUESTION, headers=key)
    assert (engine.stopped, again.status_code, again.json()) == (False, 200, first.json())
    assert await counter(database, tenant.id, "messages") == (1, 0)


async def test_a_search_is_stopped(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState
) -> None:
    async with leaving(tenant, engine_settings, state) as (caller, engine):
        answer = await caller.search(project, QUESTION)
    assert (answer.status_code, engine.stopped) == (499, True)
