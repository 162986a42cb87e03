"""Real PostgreSQL, Valkey, worker and HTTP; one database and one Redis number for each xdist worker."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import dramatiq
import hypothesis
import pytest
from anyio.from_thread import start_blocking_portal
from redis import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fastapi_ignite.admin.models import AdminKey
from fastapi_ignite.admin.service import AdminKeyService
from fastapi_ignite.core.config import Settings, load_settings, sections
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.jobs import make_broker
from fastapi_ignite.infra.services import ServiceAddresses, Services
from fastapi_ignite.worker import declare_jobs
from support.databases import insert_project
from support.http_clients import TenantClient, TenantFactory
from support.installation import client, database, make_tenant, openai_client, state, task_context

from embedded_services import acquire
from openai_simulator.server import RunningSimulator, running_simulator

__all__ = [
    "client",
    "database",
    "make_tenant",
    "openai_client",
    "state",
    "task_context",
]  # fixtures of `support/installation.py`

# Each process of a run would otherwise compile all tests anew where PYTHONDONTWRITEBYTECODE is set.
sys.dont_write_bytecode = False

# A busy machine is no failure. `--hypothesis-profile=thorough` looks longer.
hypothesis.settings.register_profile("suite", deadline=None, max_examples=40)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("suite")

DATA_DIR_VARIABLE = "IGNITE_TEST_DATA_DIR"
PREFIXES = ("POSTGRES_", "REDIS_", "DRAMATIQ_", "RATE_LIMIT_", "IGNITE_", "OPENAI_", "RAG_")


def pytest_configure(config: pytest.Config) -> None:
    """The controller makes the folder that all xdist workers share. A developer's own variables stay outside."""
    if hasattr(config, "workerinput"):
        return
    for name in [name for name in os.environ if name in {"ENV", "DATABASE_URL", "JWT_SECRET"}]:
        del os.environ[name]
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        del os.environ[name]
    folder = tempfile.mkdtemp(prefix="ignite-tests-")
    Path(folder).chmod(0o711)
    os.environ[DATA_DIR_VARIABLE] = folder
    # no test speaks to a public server: an HTTP client that reads all certificate authorities takes 20 ms to make
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """The servers stop when their last user is gone; the folder goes with the run."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[DATA_DIR_VARIABLE], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules that mostly wait at the front: the first xdist worker waits while the others take the rest from it.

    A module stays together, so that what its tests share is made once.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end; nobody needs to look through all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The defaults, with a folder of their own and no limit that a test did not ask for."""
    defaults = load_settings(env_file=None)
    configure_logging(defaults)  # unconfigured, each traceback takes seconds
    return defaults.model_copy(
        update={
            "ignite": defaults.ignite.model_copy(update={"data_dir": tmp_path_factory.mktemp("ignite")}),
            "rate_limit": defaults.rate_limit.model_copy(update={"rpm": 10**6}),
        }
    )


@pytest.fixture(scope="session")
def simulator() -> Generator[RunningSimulator]:
    """OpenAI, shared by all tests of this process: leave its faults and its objects alone.

    It has a thread of its own, because fixtures and jobs wait for each other while the tests' event loop stands still.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it ends after the capture of what is logged
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running_simulator()) as running:
        yield running


@pytest.fixture(scope="session")
async def own_simulator() -> AsyncGenerator[RunningSimulator]:
    """Another OpenAI, on the tests' event loop: see `provider`."""
    async with running_simulator() as running:
        yield running


@pytest.fixture
def provider(own_simulator: RunningSimulator) -> RunningSimulator:
    """OpenAI of this test alone, as new: it may be looked into, broken and filled."""
    own_simulator.simulator.reset()
    return own_simulator


@pytest.fixture(scope="session")
def openai_settings(settings: Settings, simulator: RunningSimulator) -> Settings:
    """With a key, so that new projects are OpenAI's; unchanged in a copy without that engine."""
    values = {"api_key": "sk-test", "base_url": simulator.base_url}
    made = {name: section.model_validate(values) for name, section in sections().items() if name == "openai"}
    return settings.model_copy(update=made)


@pytest.fixture(scope="session")
def services(settings: Settings) -> Generator[Services]:
    """The servers of the test run."""
    with acquire(Path(os.environ[DATA_DIR_VARIABLE]) / "data", durable=False) as lease:
        yield Services(settings, lease)


@pytest.fixture(scope="session")
def addresses(services: Services) -> ServiceAddresses:
    """This xdist worker's own database, copied from one that was migrated once, and its own Redis number."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    shared = services.addresses
    template = replace(shared, owner_url=shared.owner_url.set(database="template_migrated"))
    with (Path(os.environ[DATA_DIR_VARIABLE]) / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if asyncio.run(_create_database(shared, "template_migrated", None)):
            migrations.upgrade(template)
        name = f"test_{number}"
        asyncio.run(_create_database(shared, name, "template_migrated"))
    return replace(
        shared,
        owner_url=shared.owner_url.set(database=name),
        api_url=shared.api_url.set(database=name),
        worker_url=shared.worker_url.set(database=name),
        admin_url=shared.admin_url.set(database=name),
        redis_url=shared.redis_url.removesuffix("/0") + f"/{number}",
    )


async def _create_database(addresses: ServiceAddresses, name: str, template: str | None) -> bool:
    engine = create_async_engine(addresses.owner_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            if await connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
                return False
            await connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template or 'template1'}"))
            return True
    finally:
        await engine.dispose()


@pytest.fixture(scope="session")
def redis(addresses: ServiceAddresses) -> Generator[Redis]:
    """A blocking client of this worker's Redis number."""
    with Redis.from_url(addresses.redis_url) as client:
        yield client


@pytest.fixture(scope="session")
def workers() -> list[dramatiq.Worker]:
    """The workers of this process: none until a test asks for one."""
    return []


@pytest.fixture(autouse=True)
def _only_wanted_worker(request: pytest.FixtureRequest, workers: list[dramatiq.Worker]) -> Iterator[None]:
    """Let the worker rest in tests of files that do not ask for it: it takes any file that waits."""
    wanted = "ingestion" not in request.path.parts or "worker" in request.fixturenames
    resting = [] if wanted else list(workers)
    for running in resting:
        running.pause()
    yield
    for running in resting:
        running.resume()


@pytest.fixture(scope="session")
def worker(workers: list[dramatiq.Worker], openai_settings: Settings, addresses: ServiceAddresses) -> Generator[None]:
    """A Dramatiq worker in this process, on the real broker, for projects of both engines."""
    broker = make_broker(addresses.redis_url)
    dramatiq.set_broker(broker)
    declare_jobs(openai_settings, addresses, broker)
    running = dramatiq.Worker(broker, worker_threads=4, worker_timeout=100)
    running.start()
    workers.append(running)
    yield
    workers.remove(running)
    running.resume()
    running.stop(timeout=10_000)
    broker.close()


@pytest.fixture(scope="session")
async def made_admin_key(state: AppState, settings: Settings) -> tuple[AdminKey, str]:
    """As `cli.py admin-key` makes one."""
    async with state["admin_database"].operator() as session:
        return await AdminKeyService(session, settings).create("tests", lifetime=None)


@pytest.fixture(scope="session")
def admin_key(made_admin_key: tuple[AdminKey, str]) -> str:
    """The bearer of whoever runs the service."""
    return made_admin_key[1]


@pytest.fixture(scope="session")
def admin_key_id(made_admin_key: tuple[AdminKey, str]) -> str:
    """How the audit names it."""
    return str(made_admin_key[0].id)


@pytest.fixture
async def tenant(make_tenant: TenantFactory) -> TenantClient:
    """A tenant of this test alone."""
    return await make_tenant()


@pytest.fixture
def make_project(database: Database) -> Callable[[], Awaitable[tuple[UUID, UUID]]]:
    """A tenant and a project straight in the database: `(tenant_id, project_id)`."""
    return partial(insert_project, database)
