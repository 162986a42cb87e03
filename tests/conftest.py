"""Fixtures of real PostgreSQL, Valkey, workers and HTTP. Each xdist worker has its own database and Redis number."""

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

# If PYTHONDONTWRITEBYTECODE is set, each process of a run would compile all tests again.
sys.dont_write_bytecode = False

# No deadline: a busy machine must not fail a test. `--hypothesis-profile=thorough` tries more examples.
hypothesis.settings.register_profile("suite", deadline=None, max_examples=40)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("suite")

DATA_DIR_VARIABLE = "IGNITE_TEST_DATA_DIR"
PREFIXES = ("POSTGRES_", "REDIS_", "DRAMATIQ_", "RATE_LIMIT_", "IGNITE_", "OPENAI_", "RAG_")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that all xdist workers share, and remove the developer's own settings from the environment."""
    if hasattr(config, "workerinput"):
        return
    for name in [name for name in os.environ if name in {"ENV", "DATABASE_URL", "JWT_SECRET"}]:
        del os.environ[name]
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        del os.environ[name]
    folder = tempfile.mkdtemp(prefix="ignite-tests-")
    Path(folder).chmod(0o711)
    os.environ[DATA_DIR_VARIABLE] = folder
    # No test calls a public server. Without this, each new HTTP client reads all certificate authorities in 20 ms.
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the shared folder. The servers stop by themselves when their last user has ended."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[DATA_DIR_VARIABLE], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow modules first. They mostly wait: one xdist worker waits in them while the others run the other modules.

    The tests of a module stay together, so that the fixtures of the module are made once.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Exclude imported modules and collected tests from garbage collection, because they stay until the run ends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the default settings with a new data folder, and with a rate limit that no test reaches by accident."""
    defaults = load_settings(env_file=None)
    configure_logging(defaults)  # without it, the log of each traceback takes seconds
    return defaults.model_copy(
        update={
            "ignite": defaults.ignite.model_copy(update={"data_dir": tmp_path_factory.mktemp("ignite")}),
            "rate_limit": defaults.rate_limit.model_copy(update={"rpm": 10**6}),
        }
    )


@pytest.fixture
def restored_logging(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Restore the log handlers before pytest ends its capture, because the worker's threads may log at any time."""
    del capsys
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, root.level = before


@pytest.fixture(scope="session")
def simulator() -> Generator[RunningSimulator]:
    """Run the OpenAI simulator that all tests of this process share. A test must not change its faults or its objects.

    It has its own thread, because fixtures and jobs wait for it while they block the event loop of the tests.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it stops after pytest has stopped capturing the log
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running_simulator()) as running:
        yield running


@pytest.fixture(scope="session")
async def own_simulator() -> AsyncGenerator[RunningSimulator]:
    """Run a second OpenAI simulator, on the event loop of the tests. Tests use it through `provider`."""
    async with running_simulator() as running:
        yield running


@pytest.fixture
def provider(own_simulator: RunningSimulator) -> RunningSimulator:
    """Return an empty OpenAI simulator that this test alone uses. The test may read, fill and break it."""
    own_simulator.simulator.reset()
    return own_simulator


@pytest.fixture(scope="session")
def openai_settings(settings: Settings, simulator: RunningSimulator) -> Settings:
    """Return the settings with an OpenAI key, so that new projects use OpenAI.

    A copy of the repository without the OpenAI engine gets the settings unchanged.
    """
    values = {"api_key": "sk-test", "base_url": simulator.base_url}
    made = {name: section.model_validate(values) for name, section in sections().items() if name == "openai"}
    return settings.model_copy(update=made)


@pytest.fixture(scope="session")
def services(settings: Settings) -> Generator[Services]:
    """Start the servers of the test run, or use them if another xdist worker has started them."""
    with acquire(Path(os.environ[DATA_DIR_VARIABLE]) / "data", durable=False) as lease:
        yield Services(settings, lease)


@pytest.fixture(scope="session")
def addresses(services: Services) -> ServiceAddresses:
    """Give this xdist worker its own copy of a database that was migrated once, and its own Redis number."""
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
    """Return a blocking client of this xdist worker's Redis number."""
    with Redis.from_url(addresses.redis_url) as client:
        yield client


@pytest.fixture(scope="session")
def workers() -> list[dramatiq.Worker]:
    """Return the list of Dramatiq workers in this process. It is empty until a test uses `worker`."""
    return []


@pytest.fixture(autouse=True)
def _pause_unwanted_worker(request: pytest.FixtureRequest, workers: list[dramatiq.Worker]) -> Iterator[None]:
    """Pause the worker in ingestion tests that do not use it, because it would process their waiting files."""
    wanted = "ingestion" not in request.path.parts or "worker" in request.fixturenames
    resting = [] if wanted else list(workers)
    for running in resting:
        running.pause()
    yield
    for running in resting:
        running.resume()


@pytest.fixture(scope="session")
def worker(workers: list[dramatiq.Worker], openai_settings: Settings, addresses: ServiceAddresses) -> Generator[None]:
    """Run a Dramatiq worker in this process, on the real broker, for projects of both engines."""
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
    """Make an admin key as `cli.py admin-key` does, and return its row and its secret text."""
    async with state["admin_database"].operator() as session:
        return await AdminKeyService(session, settings).create("tests", lifetime=None)


@pytest.fixture(scope="session")
def admin_key(made_admin_key: tuple[AdminKey, str]) -> str:
    """Return the secret text of an administrator's key."""
    return made_admin_key[1]


@pytest.fixture(scope="session")
def admin_key_id(made_admin_key: tuple[AdminKey, str]) -> str:
    """Return the id by which the audit log names the admin key."""
    return str(made_admin_key[0].id)


@pytest.fixture
async def tenant(make_tenant: TenantFactory) -> TenantClient:
    """Make a tenant that only this test uses."""
    return await make_tenant()


@pytest.fixture
def make_project(database: Database) -> Callable[[], Awaitable[tuple[UUID, UUID]]]:
    """Return a function that inserts a tenant and a project into the database and returns `(tenant_id, project_id)`."""
    return partial(insert_project, database)
