"""Projects whose questions a model answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from fastapi_ignite.rag.local.generative.answerer import GenerativeAnswerer
from support.model_server import PUMP, ModelServer, asking
from support.rag_projects import RagProject, RagProjectFactory

from openai_simulator.server import RunningSimulator


@pytest.fixture
def server(provider: RunningSimulator) -> ModelServer:
    """As new."""
    return ModelServer(provider)


@pytest.fixture
async def answering(server: ModelServer) -> AsyncGenerator[Callable[..., GenerativeAnswerer]]:
    """Answerers with a breaker of their own, closed at the end."""
    made: list[GenerativeAnswerer] = []

    def make(**settings: object) -> GenerativeAnswerer:
        made.append(GenerativeAnswerer(server.settings(**settings)))
        return made[-1]

    yield make
    for answerer in made:
        await answerer.close()


@pytest.fixture
async def project(rag_project: RagProjectFactory, answering: Callable[..., GenerativeAnswerer]) -> RagProject:
    """It knows the pump; the server's API is found out."""
    made = asking(await rag_project(), answering())
    await made.add(PUMP)
    return made
