"""The fixtures of `installation.py` on another database, for a `conftest.py` whose tests must not see foreign rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastapi_ignite.infra.services import ServiceAddresses
from support.databases import new_database
from support.installation import client, database, make_tenant, openai_client, state, task_context

__all__ = ["addresses", "client", "database", "make_tenant", "openai_client", "state", "task_context"]


@pytest.fixture(scope="session")
def addresses(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Return the same servers with a migrated database that only these tests use."""
    with new_database(addresses, template="template_migrated") as own:
        yield own
