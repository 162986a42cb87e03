"""Tests that a table which the code does not know is emptied too, in the order of its foreign keys and in batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import text

from fastapi_ignite.erasure.removal import ROWS_AT_ONCE, TenantRemover
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from support.both_engines import of_the_local_engine
from support.databases import fetch
from support.erasures import erase, receipt_of
from support.http_clients import TenantClient
from support.watched_statements import recorded_statements

pytestmark = of_the_local_engine
CHILDREN = 2 * ROWS_AT_ONCE + 1
# in the order of the names the parents would go first, which their children refuse
NEW_TABLES = (
    "CREATE TABLE a_parents (tenant_id uuid, id integer, PRIMARY KEY (tenant_id, id))",
    (
        "CREATE TABLE z_children (tenant_id uuid, id integer, parent integer NOT NULL, PRIMARY KEY (tenant_id, id), "
        "FOREIGN KEY (tenant_id, parent) REFERENCES a_parents (tenant_id, id))"
    ),
    "GRANT SELECT, INSERT, UPDATE, DELETE ON a_parents, z_children TO ignite_system",
)


@pytest.fixture
async def new_tables(addresses: ServiceAddresses) -> AsyncGenerator[None]:
    for statement in NEW_TABLES:
        await fetch(addresses.owner_url, statement)
    yield
    await fetch(addresses.owner_url, "DROP TABLE z_children, a_parents")


@pytest.mark.usefixtures("new_tables")
async def test_new_tables_are_emptied(
    tenant_without_worker: TenantClient, database: Database, remover: TenantRemover
) -> None:
    tenant = tenant_without_worker
    values = {"tenant": tenant.id, "children": CHILDREN}
    async with database.system() as session:
        await session.execute(text("INSERT INTO a_parents VALUES (:tenant, 1), (gen_random_uuid(), 1)"), values)
        await session.execute(
            text("INSERT INTO z_children SELECT :tenant, n, 1 FROM generate_series(1, :children) AS n"), values
        )
    await erase(tenant)
    with recorded_statements(database) as statements:
        await remover.run(tenant.id, tenant.id)
    receipt = await receipt_of(database, tenant)
    assert (receipt["state"], receipt["last_error"]) == ("completed", None)
    assert receipt["other_rows"] > CHILDREN
    batches = [each for each in statements if "DELETE FROM z_children" in each]
    assert len(batches) == 3 + 1, "three batches, and one more look after the tenant is gone"
    async with database.system() as session:
        left = await session.execute(text("SELECT (SELECT count(*) FROM a_parents), (SELECT count(*) FROM z_children)"))
        assert tuple(left.one()) == (1, 0), "the row of another tenant stays"
