"""Fixtures that run the command line on its own database, with DATABASE_URL and REDIS_URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import CommandLine, open_folder
from support.databases import new_database


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
