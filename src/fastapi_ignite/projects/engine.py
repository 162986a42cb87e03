"""Which engine serves a project."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi_ignite.rag.engine import RagEngine
from fastapi_ignite.rag.engines import EngineMissingError, engine_named


def engine_of(own: str | None, engines: Mapping[str, RagEngine], *, default: str | None = None) -> RagEngine:
    """Return the engine that a project's index was made with (`own`), or the default one while there is no index.

    A file has a project with an index, so work on files needs no default.

    Raises:
        EngineMissingError: This installation cannot run the engine, or there is neither index nor default.
    """
    name = own or default
    if name is None:
        raise EngineMissingError("The project has no index yet, so no engine serves it.")
    return engine_named(engines, name)
