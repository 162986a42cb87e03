"""The hosted engine against the simulator, over real HTTP.

On a database of their own: a reconciliation with `provider` takes all stores there for lost that are elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from pydantic import SecretStr

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.model_sections import OpenAISettings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.ratelimit import RateLimiter
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engines import build_engines
from fastapi_ignite.rag.openai.engine import OpenAIEngine
from rag.openai.hosted_tenant import HostedTenant
from rag.openai.losable_store import SHEEP, TREES, Scene
from support.http_clients import TenantClient, TenantFactory, client_for
from support.own_database import *  # noqa: F403  fixtures

from openai_simulator.server import RunningSimulator


@pytest.fixture
def ask_timeout_seconds() -> int:
    """Return the longest time that an answer may take. Tests that wait for its end set a shorter one."""
    return 30


@pytest.fixture
def hosted_settings(settings: Settings, provider: RunningSimulator, ask_timeout_seconds: int) -> Settings:
    """With a key, so that new projects are OpenAI's."""
    openai = OpenAISettings(
        api_key=SecretStr("sk-test"),
        base_url=provider.base_url,
        timeout_seconds=5,
        ask_timeout_seconds=ask_timeout_seconds,
        index_timeout_seconds=1,
    )
    return settings.model_copy(update={"openai": openai})


@pytest.fixture
async def engine(database: Database, hosted_settings: Settings, state: AppState) -> AsyncGenerator[OpenAIEngine]:
    """With a breaker of its own."""
    limiter = RateLimiter(state["redis"], patience=30)  # a busy machine is no outage
    engine = build_engines(database, hosted_settings, limiter=limiter)["openai"]
    assert isinstance(engine, OpenAIEngine)
    yield engine
    await engine.close()


@pytest.fixture
def leaving() -> asyncio.Event:
    """Once it is set the tenant's caller closes its connection."""
    return asyncio.Event()


@pytest.fixture
async def hosted(
    make_tenant: TenantFactory,
    hosted_settings: Settings,
    state: AppState,
    database: Database,
    engine: OpenAIEngine,
    leaving: asyncio.Event,
) -> AsyncGenerator[HostedTenant]:
    """A tenant whose projects are OpenAI's; its files are worked on when the test says so."""
    tenant = await make_tenant()
    jobs = JobQueue(make_broker("redis://127.0.0.1:1/0"))
    engines = {engine.name: engine}
    processor = FileProcessor(database=database, storage=state["storage"], engines=engines, jobs=jobs)
    client = client_for(hosted_settings, {**state, "jobs": jobs, "engines": engines}, leaving=leaving)
    async with client:
        yield HostedTenant(TenantClient(tenant.id, client, tenant.headers), processor, database, engine)


@pytest.fixture
async def scene(hosted: HostedTenant, provider: RunningSimulator) -> Scene:
    project = await hosted.api.create_project()
    files = await hosted.ingest(project, ("orchard.txt", TREES.encode()), ("meadow.txt", SHEEP.encode()))
    return Scene(hosted, provider, project, files)
