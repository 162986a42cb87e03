"""What makes a suite run on both engines: a `conftest.py` or a module that imports these fixtures.

The suites know of no engine: a tenant of theirs starts its projects on the one whose turn it is, beside all tenants of
the other in one installation. `engine_settings` are for tests that run an application of their own.
"""

from __future__ import annotations

from importlib.util import find_spec

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.rag.engine import RagEngine
from support.http_clients import TenantFactory, tenant_factory

__all__ = ["ENGINES", "engine", "engine_name", "engine_settings", "make_tenant", "of_the_local_engine"]

ENGINES = tuple(name for name in ("local", "openai") if find_spec(f"fastapi_ignite.rag.{name}"))
# for what only this engine has, or where no engine takes part; which of them stands beside it
of_the_local_engine = pytest.mark.parametrize("engine_name", ["local"], indirect=True)


@pytest.fixture(scope="session", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Where new projects go."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def engine_settings(engine_name: str, settings: Settings, openai_settings: Settings) -> Settings:
    """Of an installation that starts its projects there."""
    return {"local": settings, "openai": openai_settings}[engine_name]


@pytest.fixture(scope="session")
def engine(engine_name: str, state: AppState) -> RagEngine:
    """As the application has it."""
    return state["engines"][engine_name]


@pytest.fixture(scope="session")
def make_tenant(
    engine_name: str, client: httpx2.AsyncClient, openai_client: httpx2.AsyncClient, settings: Settings
) -> TenantFactory:
    """New tenants on a plan."""
    return tenant_factory({"local": client, "openai": openai_client}[engine_name], settings)
