"""Projects whose questions a language model answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from fastapi_ignite.rag.local.generative.answerer import GenerativeAnswerer
from support.model_server import PUMP, ModelServer, with_answerer
from support.rag_projects import RagProject, RagProjectFactory

from openai_simulator.server import RunningSimulator


@pytest.fixture
def server(provider: RunningSimulator) -> ModelServer:
    """Return a model server without faults and without earlier calls."""
    return ModelServer(provider)


@pytest.fixture
async def make_answerer(server: ModelServer) -> AsyncGenerator[Callable[..., GenerativeAnswerer]]:
    """Return a function that makes answerers, each with its own circuit breaker."""
    made: list[GenerativeAnswerer] = []

    def make(**settings: object) -> GenerativeAnswerer:
        made.append(GenerativeAnswerer(server.settings(**settings)))
        return made[-1]

    yield make
    for answerer in made:
        await answerer.close()


@pytest.fixture
async def project(rag_project: RagProjectFactory, make_answerer: Callable[..., GenerativeAnswerer]) -> RagProject:
    """Make a project with the text about the pump; its answerer finds out which API the server has."""
    made = with_answerer(await rag_project(), make_answerer())
    await made.add(PUMP)
    return made
