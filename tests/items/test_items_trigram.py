"""The search index that exists only where the server has pg_trgm; the embedded server does not have it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.services import ServiceAddresses
from support.databases import new_database, run

BEFORE = "items-1"


@pytest.fixture
def migrated(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Make a migrated database that only these tests use."""
    with new_database(addresses, template="template_migrated") as own:
        yield own


def indexes(addresses: ServiceAddresses) -> set[str]:
    return {name for (name,) in run(addresses.owner_url, "SELECT indexname FROM pg_indexes WHERE tablename = 'items'")}


def test_a_server_without_pg_trgm_is_migrated_up_and_down(migrated: ServiceAddresses) -> None:
    assert run(migrated.owner_url, "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'") == []
    without = indexes(migrated)
    assert without == {"pk_items", "ix_items_created_at_id"}
    migrations.downgrade(migrated, BEFORE)
    migrations.upgrade(migrated)
    assert indexes(migrated) == without
    migrations.check(migrated)


def test_the_models_agree_with_a_server_that_has_the_index(migrated: ServiceAddresses) -> None:
    run(migrated.owner_url, "CREATE INDEX ix_items_trigram ON items (name)")
    migrations.check(migrated)
    run(migrated.owner_url, "CREATE INDEX ix_items_forgotten ON items (name)")
    with pytest.raises(ConfigurationError, match="ix_items_forgotten"):
        migrations.check(migrated)
