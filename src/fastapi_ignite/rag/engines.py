"""Which engines this installation can run."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi_ignite.core.errors import UnavailableError
from fastapi_ignite.core.sections import OpenAISettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.ratelimit import Limiter
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.openai.engine import OpenAIEngine


class EngineMissingError(UnavailableError):
    """The project's engine is not set up here any more."""

    code = "engine_missing"
    title = "The project's engine is not set up"


def engine_named(engines: Mapping[str, RagEngine], name: str) -> RagEngine:
    """A project's engine.

    Raises:
        EngineMissingError: this installation cannot run it, for want of its key.
    """
    if name not in engines:
        raise EngineMissingError(f"The engine '{name}' of this project is not set up on this service.")
    return engines[name]


def build_engines(
    database: Database, *, embedder: str, openai: OpenAISettings | None = None, limiter: Limiter | None = None
) -> Mapping[str, RagEngine]:
    """By name. `embedder` is for new projects of the local engine; the hosted one is there when it has a key.

    By `limiter` workers keep a provider's rates; a process that sends no files needs none.
    """
    engines: list[RagEngine] = [LocalEngine(database, embedder=embedder)]
    if openai and openai.api_key:
        engines.append(OpenAIEngine(database, openai, limiter))
    return {engine.name: engine for engine in engines}
