"""The command line on a database of its own, reached by DATABASE_URL and REDIS_URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import CommandLine, open_folder
from support.databases import new_database


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the commands run."""
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def migrated(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """A database at the head, and a Redis number beside that of the other tests."""
    with new_database(addresses, template="template_migrated") as own:
        yield own


@pytest.fixture
def empty(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """A database without a schema."""
    with new_database(addresses) as own:
        yield own


@pytest.fixture
def commands(folder: Path, migrated: ServiceAddresses) -> CommandLine:
    """On the migrated database."""
    return CommandLine.on_servers(folder, migrated)
