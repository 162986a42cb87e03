"""The hosted engine with the simulator, over real HTTP, on a database of its own.

A reconciliation with `provider` treats all stores in the database as lost that another simulator holds.
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
from rag.openai.sample_project import SHEEP, TREES, SampleProject
from support.http_clients import TenantClient, TenantFactory, client_for
from support.own_database import *  # noqa: F403  fixtures

from openai_simulator.server import RunningSimulator


@pytest.fixture
def ask_timeout_seconds() -> int:
    """Return the longest time for an answer; tests that wait until it has passed set a shorter one."""
    return 30


@pytest.fixture
def hosted_settings(settings: Settings, provider: RunningSimulator, ask_timeout_seconds: int) -> Settings:
    """Return settings with an OpenAI key, so that new projects start there."""
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
    """Build an engine with its own circuit breaker."""
    limiter = RateLimiter(state["redis"], patience=30)  # a busy machine is not an outage
    engine = build_engines(database, hosted_settings, limiter=limiter)["openai"]
    assert isinstance(engine, OpenAIEngine)
    yield engine
    await engine.close()


@pytest.fixture
def leaving() -> asyncio.Event:
    """Return an event that makes the tenant's client disconnect."""
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
    """Return a tenant whose projects are at OpenAI; the test itself runs the worker's steps on its files."""
    tenant = await make_tenant()
    jobs = JobQueue(make_broker("redis://127.0.0.1:1/0"))
    engines = {engine.name: engine}
    processor = FileProcessor(database=database, storage=state["storage"], engines=engines, jobs=jobs)
    client = client_for(hosted_settings, {**state, "jobs": jobs, "engines": engines}, leaving=leaving)
    async with client:
        yield HostedTenant(TenantClient(tenant.id, client, tenant.headers), processor, database, engine)


@pytest.fixture
async def sample(hosted: HostedTenant, provider: RunningSimulator) -> SampleProject:
    project = await hosted.api.create_project()
    files = await hosted.ingest(project, ("orchard.txt", TREES.encode()), ("meadow.txt", SHEEP.encode()))
    return SampleProject(hosted, provider, project, files)
