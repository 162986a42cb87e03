"""The engines of this installation. No other module knows both of them, and it imports each only to build it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import Example, UnavailableError
from fastapi_ignite.core.model_sections import OpenAISettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.ratelimit import Limiter
from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.openai.repository import damaged_stores


class EngineMissingError(UnavailableError):
    """This installation is not set up to run the project's engine any more."""

    code = "engine_missing"
    title = "The project's engine is not set up"
    example = Example("The engine 'openai' of this project is not set up on this service.")


def engine_named(engines: Mapping[str, RagEngine], name: str) -> RagEngine:
    """Return the engine with this name.

    Raises:
        EngineMissingError: this installation cannot run it, because its key is not set.
    """
    if name not in engines:
        raise EngineMissingError(f"The engine '{name}' of this project is not set up on this service.")
    return engines[name]


# They find indexes that a provider lost; one for each engine that has a provider.
_FIND_DAMAGED: tuple[Callable[[AsyncSession, int], Awaitable[Sequence[object]]], ...] = (damaged_stores,)


async def any_damaged(session: AsyncSession) -> bool:
    """Return whether a provider lost an index that nobody rebuilds now. The session needs the system role."""
    return any([await find(session, 1) for find in _FIND_DAMAGED])


def build_engines(
    database: Database, settings: Settings, *, limiter: Limiter | None = None, owner_url: URL | None = None
) -> Mapping[str, RagEngine]:
    """Return the engines by name. The hosted one is among them when its key is set.

    Workers keep within a provider's rates with `limiter`, and create indexes with the login of `owner_url`; a process
    that sends no files and maintains no indexes needs neither.
    """
    engines = [_local_engine(database, settings, owner_url)]
    if settings.openai.api_key:
        engines.append(_openai_engine(database, settings.openai, limiter))
    return {engine.name: engine for engine in engines}


# An engine's libraries, numpy or OpenAI's SDK, take up to half a second to load: only a process that runs it does.


def _local_engine(database: Database, settings: Settings, owner_url: URL | None) -> RagEngine:
    from fastapi_ignite.rag.local.engine import LocalEngine  # noqa: PLC0415

    answerer = None
    if settings.answer.model:
        from fastapi_ignite.rag.local.generative.answerer import GenerativeAnswerer  # noqa: PLC0415

        answerer = GenerativeAnswerer(settings.answer)
    vector_indexes = None
    if owner_url is not None:
        from fastapi_ignite.rag.local.vector_indexes import VectorIndexes  # noqa: PLC0415

        vector_indexes = VectorIndexes(database, owner_url, settings.vector_index)
    return LocalEngine(
        database, settings.default_embedder, settings.embedding, answerer=answerer, vector_indexes=vector_indexes
    )


def _openai_engine(database: Database, settings: OpenAISettings, limiter: Limiter | None) -> RagEngine:
    from fastapi_ignite.rag.openai.engine import OpenAIEngine  # noqa: PLC0415

    return OpenAIEngine(database, settings, limiter)
