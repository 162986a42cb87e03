"""Fixtures that run each test of a suite on both engines; a `conftest.py` or a module imports them.

The tests of such a suite do not know which engine they use. In one installation, `make_tenant` makes tenants whose new
projects start on the engine of the present test parameter. A test that runs an application of its own takes
`engine_settings`.
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
# This mark runs tests on the local engine only: no other engine has the feature, or no engine takes part.
of_the_local_engine = pytest.mark.parametrize("engine_name", ["local"], indirect=True)


@pytest.fixture(scope="session", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Return the name of the engine on which new projects start."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def engine_settings(engine_name: str, settings: Settings, openai_settings: Settings) -> Settings:
    """Return the settings of an installation that starts new projects on this engine."""
    return {"local": settings, "openai": openai_settings}[engine_name]


@pytest.fixture(scope="session")
def engine(engine_name: str, state: AppState) -> RagEngine:
    """Return this engine as the application has built it."""
    return state["engines"][engine_name]


@pytest.fixture(scope="session")
def make_tenant(
    engine_name: str, client: httpx2.AsyncClient, openai_client: httpx2.AsyncClient, settings: Settings
) -> TenantFactory:
    """Return a function that makes tenants; their new projects start on this engine."""
    return tenant_factory({"local": client, "openai": openai_client}[engine_name], settings)
