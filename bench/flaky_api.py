"""The API with an engine that fails three questions in ten, half of them after it did the work.

Only `bench/quotas.py` runs it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.main import create_app
from fastapi_ignite.rag.engine import AnswerEvent, Final, RagEngine, TokenUsage

FAILURES = 0.3


class ProviderFailedError(UnavailableError):
    """Stands for a failure of a model provider, at once or while the answer was on its way."""


class FlakyEngine:
    """Everything but asking is the real engine's."""

    def __init__(self, engine: RagEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def ask(
        self, tenant_id: UUID, project_id: UUID, question: str, usage: TokenUsage, *, stream: bool = False
    ) -> AsyncGenerator[AnswerEvent]:
        """Takes a moment, so that a kill finds questions under way."""
        fate = random.random()
        await asyncio.sleep(random.uniform(0, 0.03))
        if fate < FAILURES / 2:
            raise ProviderFailedError
        async with aclosing(self._engine.ask(tenant_id, project_id, question, usage, stream=stream)) as events:
            async for event in events:
                if fate < FAILURES and isinstance(event, Final):
                    raise ProviderFailedError
                yield event


class WithFlakyEngines:
    """The application as it is, with other engines in every request's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The lifespan passes through."""
        if scope["type"] == "http":
            engines = scope["state"]["engines"]
            scope["state"]["engines"] = {name: FlakyEngine(engine) for name, engine in engines.items()}
        await self._app(scope, receive, send)


def create_flaky_app() -> ASGIApp:
    return WithFlakyEngines(create_app())
