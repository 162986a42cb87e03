"""Fixtures that run the command line on its own database, with DATABASE_URL and REDIS_URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import CommandLine, open_folder
from support.databases import new_database
from support.running_stack import RunningStack
from support.tenant_commands import TenantCommands


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return the folder in which the commands run."""
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def migrated(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return a new database at the newest migration."""
    with new_database(addresses, template="template_migrated") as own:
        yield own


@pytest.fixture
def empty(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return a database without a schema."""
    with new_database(addresses) as own:
        yield own


@pytest.fixture
def commands(folder: Path, migrated: ServiceAddresses) -> CommandLine:
    """Return a command line on the migrated database."""
    return CommandLine.on_servers(folder, migrated)


@pytest.fixture(scope="session")
def api_stack() -> Iterator[RunningStack]:
    """Return a stack for commands that use the API. Tests make tenants of their own in it, and leave it running."""
    limits = {"RATE_LIMIT_RPM": "100000", "UPLOAD_MAX_FILE_BYTES": "200000"}
    with open_folder() as made:
        running = RunningStack(made, RAG_EMBEDDER="none", **limits)
        try:
            yield running.wait_until_healthy()
        finally:
            running.end()


@pytest.fixture
def acme(api_stack: RunningStack) -> TenantCommands:
    """Return a new tenant with the plan `hobby`."""
    commands = api_stack.commands
    tenant_id = commands.run("tenants", "create", "Acme").succeeded().strip()
    token = commands.run("token", tenant_id).succeeded().strip()
    return TenantCommands(tenant_id, token, commands, api_stack.api)
