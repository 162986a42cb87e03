"""An engine that runs events of a test in the middle of its work."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast
from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.rag.engine import (
    Answer,
    AnswerEvent,
    AttributeCondition,
    DocumentSource,
    Final,
    FoundPassage,
    PreparedIndex,
    RagEngine,
    TokenUsage,
)
from support.http_clients import TenantClient, client_for

Event = Callable[[], Awaitable[None]]


async def nothing() -> None:
    pass


async def answer_of(events: AsyncGenerator[AnswerEvent]) -> Answer:
    """Return the answer with which an engine's events end."""
    async with aclosing(events):
        return [event.answer async for event in events if isinstance(event, Final)][-1]


class InterruptedEngine:
    """An engine that runs events: before each question, after each prepared document, and after each answer or search.

    The engine inside and its caller do not know of the events. `paid` replaces what the engine inside says about costs.
    """

    def __init__(
        self,
        inner: RagEngine,
        *,
        prepared: Event = nothing,
        asked: Event = nothing,
        answered: Event = nothing,
        paid: bool | None = None,
    ) -> None:
        self._inner = inner
        for attribute in dir(inner):  # everything else, with the capabilities, comes from the inner engine
            if not attribute.startswith("_") and not hasattr(self, attribute):
                setattr(self, attribute, getattr(inner, attribute))
        self._prepared = prepared
        self._asked = asked
        self._answered = answered
        self.paid = inner.paid if paid is None else paid
        self.answers = 0

    async def prepare(self, source: DocumentSource) -> PreparedIndex:
        document = await self._inner.prepare(source)
        await self._prepared()
        return document

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
        await self._asked()
        self.answers += 1
        asking = self._inner.ask(tenant_id, project_id, question, usage, stream=stream, within=within)
        async with aclosing(asking) as events:
            async for event in events:
                if isinstance(event, Final):
                    await self._answered()
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
        found = await self._inner.search(tenant_id, project_id, query, limit, within=within, per_document=per_document)
        await self._answered()
        return found

    def alone(self) -> Mapping[str, RagEngine]:
        """Return the mapping of engines for an application or a worker that has only this engine."""
        return {self._inner.name: cast("RagEngine", self)}


@asynccontextmanager
async def interrupted(
    tenant: TenantClient, settings: Settings, state: AppState, answered: Event = nothing, **others: Any
) -> AsyncGenerator[tuple[TenantClient, InterruptedEngine]]:
    """Yield the tenant as a client of an API that runs `answered` between an answer and its settlement."""
    engine = InterruptedEngine(state["engines"][settings.default_engine], answered=answered, **others)
    async with client_for(settings, {**state, "engines": engine.alone()}) as client:
        yield TenantClient(tenant.id, client, tenant.headers), engine
