"""The probes of this folder must notice every damaged policy: on a copy, each one is dropped once and opened once."""

# ruff: noqa: S608  the tables' names come from the catalogue

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from isolation.catalogue import TenantTable, owner_connection, policies_are_regular, tables_are_protected
from isolation.policies import policies_of
from isolation.probes import PROBES, ProbedDatabase
from isolation.sample_tenant import SampleTenant
from support.databases import new_database


@pytest.fixture(scope="module")
def empty_copy(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    """Make a migrated database without tenants."""
    with new_database(addresses, template="template_migrated") as own:
        yield own


@pytest.fixture(scope="module")
async def owner(
    addresses: ServiceAddresses,
    empty_copy: ServiceAddresses,
    sample_tenant: SampleTenant,
    tables: Sequence[TenantTable],
) -> AsyncGenerator[AsyncConnection]:
    """Connect as the owner of a database that contains only the sample tenant's rows."""
    async with owner_connection(empty_copy.owner_url) as target:
        await target.execute(text("SET session_replication_role = replica"))  # without checks of foreign keys
        async with owner_connection(addresses.owner_url) as source:
            for table in tables:
                rows = await source.scalar(
                    text(f"SELECT jsonb_agg(to_jsonb(t))::text FROM {table.name} t WHERE {table.key} = :owner"),
                    {"owner": sample_tenant.tenant.id},
                )
                insert = f"INSERT INTO {table.name} SELECT * FROM jsonb_populate_recordset(NULL::{table.name}, "
                await target.execute(text(f"{insert} CAST(:rows AS jsonb))"), {"rows": rows})
        yield target


@pytest.fixture
async def probed(
    owner: AsyncConnection, empty_copy: ServiceAddresses, sample_tenant: SampleTenant, tables: Sequence[TenantTable]
) -> AsyncGenerator[ProbedDatabase]:
    """Return the copy for the probes, instead of the database of the other tests."""
    del owner
    urls = (empty_copy.api_url, empty_copy.worker_url, empty_copy.admin_url)
    api, worker, admin = (Database(url, pool_size=1) for url in urls)
    yield ProbedDatabase(api, worker, admin, sample_tenant.tenant.id, tables)
    for login in (api, worker, admin):
        await login.close()


async def leaks_of(probed: ProbedDatabase, table: str) -> set[str]:
    """Return the names of the probes that find a leak in this table."""
    alone = replace(probed, tables=[each for each in probed.tables if each.name == table])
    return {probe.__name__ for probe in PROBES if await probe(alone)}


async def test_every_change_of_a_policy_is_noticed(
    owner: AsyncConnection, probed: ProbedDatabase, tables: Sequence[TenantTable]
) -> None:
    """The probes and, apart from them, the catalogue must notice it. `pytest -s` prints the table.

    A message is reached through a conversation that is seen, so for its other policies the catalogue has to notice.
    """
    policies = await policies_of(owner)
    assert len(policies) >= 2 * len(tables)
    assert [leak for table in tables for leak in await leaks_of(probed, table.name)] == []
    unnoticed = []
    for policy in policies:
        for mutation in policy.mutations():
            await owner.execute(text(mutation))
            noticed, irregular = await leaks_of(probed, policy.table), await policies_are_regular(owner)
            if mutation != policy.drop:
                await owner.execute(text(policy.drop))
            await owner.execute(text(policy.creation))
            print(f"{mutation:70} {', '.join(sorted(noticed)) or 'UNNOTICED'}")  # noqa: T201  the table
            twice_held = policy.table == "messages" and policy.name != "hidden"
            if not (irregular and (noticed or twice_held)):
                unnoticed.append(mutation)
    assert unnoticed == []
    assert await policies_are_regular(owner) == []


async def test_a_table_without_row_level_security_is_noticed(
    owner: AsyncConnection, probed: ProbedDatabase, tables: Sequence[TenantTable]
) -> None:
    for table in tables:
        await owner.execute(text(f"ALTER TABLE {table.name} DISABLE ROW LEVEL SECURITY"))
        assert await leaks_of(probed, table.name), table.name
        assert await tables_are_protected(owner) == [table.name]
        await owner.execute(text(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY"))
