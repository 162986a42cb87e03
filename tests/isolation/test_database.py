"""Row-level security below the code: what the API's login can reach if the code forgets every check."""

# ruff: noqa: S608  the tables' names come from the catalogue

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from isolation.catalogue import CHECKS, Check, owner_connection
from isolation.probes import DENIED, PROBES, Probe, ProbedDatabase, sqlstate
from isolation.sample_tenant import SampleTenant
from support.databases import fetch
from support.tokens import STRONG_SECRET

LOGINS = ("ignite_admin", "ignite_api", "ignite_worker")
ALL_TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1
"""
# each statement makes a fault, which the check with this name must find
FAULTS = {
    "ALTER TABLE files DISABLE ROW LEVEL SECURITY": "tables_are_protected",
    "ALTER TABLE files NO FORCE ROW LEVEL SECURITY": "tables_are_protected",
    "ALTER TABLE idempotency_keys DROP CONSTRAINT pk_idempotency_keys, ALTER tenant_id DROP NOT NULL": (
        "tables_are_protected"
    ),
    "CREATE TABLE unprotected (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))": "tables_are_protected",
    "CREATE TABLE unprotected (id uuid PRIMARY KEY)": "tables_are_known",
    "CREATE MATERIALIZED VIEW unprotected AS SELECT text FROM chunks": "tables_are_known",
    "CREATE SCHEMA other CREATE TABLE unprotected (id uuid)": "tables_are_known",
    "CREATE POLICY more ON files TO ignite_tenant USING (true)": "policies_are_regular",
    "CREATE POLICY more ON files USING (true)": "policies_are_regular",
    "CREATE UNIQUE INDEX more ON files (id)": "unique_keys_carry_the_tenant",
    "CREATE UNIQUE INDEX more ON files (id) WHERE deleted_at IS NULL": "unique_keys_carry_the_tenant",
    "ALTER TABLE usage_daily DROP CONSTRAINT pk_usage_daily": "an_index_leads_with_the_tenant",
    "ALTER TABLE files ADD UNIQUE (id), ADD parent uuid REFERENCES files (id)": "foreign_keys_carry_the_tenant",
    "ALTER TABLE files ADD UNIQUE (id); ALTER TABLE plans ADD file uuid REFERENCES files (id)": (
        "foreign_keys_carry_the_tenant"
    ),
    "CREATE FUNCTION peek() RETURNS bigint SECURITY DEFINER RETURN 1": "functions_run_as_their_caller",
    "ALTER FUNCTION search_lexical RESET search_path": "functions_run_as_their_caller",
    "GRANT EXECUTE ON FUNCTION search_lexical TO PUBLIC": "functions_run_as_their_caller",
    "ALTER FUNCTION search_lexical_within RESET search_path": "functions_run_as_their_caller",
    "CREATE VIEW everything AS SELECT * FROM files": "views_run_as_their_caller",
    "GRANT TRUNCATE ON files TO ignite_tenant": "no_privilege_goes_past_the_policies",
    "GRANT SELECT ON plans TO PUBLIC": "no_privilege_goes_past_the_policies",
}


@asynccontextmanager
async def without_role(database: Database) -> AsyncGenerator[AsyncConnection]:
    """Begin a transaction that has taken no role; it is rolled back at the end."""
    async with database.engine.connect() as connection:
        yield connection
        await connection.rollback()


async def count(session: AsyncSession, table: str) -> int:
    return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


class TestCatalogue:
    """These tests check the tables, keys, functions and rights that the migrations have made."""

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_holds(self, addresses: ServiceAddresses, check: Check) -> None:
        async with owner_connection(addresses.owner_url) as connection:
            assert await check(connection) == []

    @pytest.mark.parametrize("statement", FAULTS)
    async def test_a_fault_is_noticed(self, addresses: ServiceAddresses, statement: str) -> None:
        async with owner_connection(addresses.owner_url) as connection:
            await connection.exec_driver_sql("BEGIN")
            for part in statement.split(";"):
                await connection.exec_driver_sql(part)
            noticed = {check.__name__ for check in CHECKS if await check(connection)}
            await connection.exec_driver_sql("ROLLBACK")
        assert FAULTS[statement] in noticed

    async def test_the_logins_have_nothing_of_their_own(self, addresses: ServiceAddresses) -> None:
        roles = await fetch(
            addresses.owner_url,
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolinherit "
            "FROM pg_roles WHERE rolname = ANY(:logins) ORDER BY 1",
            logins=list(LOGINS),
        )
        assert [tuple(row) for row in roles] == [(login, False) for login in LOGINS]
        memberships = await fetch(
            addresses.owner_url,
            "SELECT member::regrole::text, roleid::regrole::text, admin_option OR inherit_option "
            "FROM pg_auth_members WHERE member::regrole::text = ANY(:logins) ORDER BY 1, 2",
            logins=list(LOGINS),
        )
        assert [tuple(row) for row in memberships] == [
            ("ignite_admin", "ignite_operator", False),
            ("ignite_api", "ignite_tenant", False),
            ("ignite_worker", "ignite_system", False),
            ("ignite_worker", "ignite_tenant", False),
        ]
        privileges = await fetch(
            addresses.owner_url,
            "SELECT login, c.relname, privilege FROM unnest(CAST(:logins AS text[])) login, pg_class c, "
            "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) privilege "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') "
            "AND has_table_privilege(login, c.oid, privilege)",
            logins=list(LOGINS),
        )
        assert privileges == []


class TestApiLogin:
    """These tests use the login `ignite_api`, with and without the only role that it may take."""

    async def test_without_a_role_nothing_can_be_read(
        self, addresses: ServiceAddresses, api_database: Database
    ) -> None:
        names = [str(name) for (name,) in await fetch(addresses.owner_url, ALL_TABLES)]
        assert "plans" in names
        async with without_role(api_database) as connection:
            for name in names:
                assert await sqlstate(connection, f"SELECT 1 FROM {name}") == DENIED, name
                assert await sqlstate(connection, f"DELETE FROM {name}") == DENIED, name
            for search in (
                "SELECT * FROM search_lexical(gen_random_uuid(), '{1}', '{}/1048576', 1)",
                "SELECT * FROM search_lexical_within(gen_random_uuid(), '{1}', '{}/1048576', 1, '{}', 1)",
                "SELECT * FROM search_dense_within(gen_random_uuid(), '[1]', 1, '{}')",
                "SELECT matching_documents(gen_random_uuid(), '{}', 'true', '{}')",
            ):
                assert await sqlstate(connection, search) == DENIED

    @pytest.mark.parametrize(
        "stronger", ["ignite_system", "ignite_search", "ignite_operator", "ignite_worker", "owner"]
    )
    async def test_it_cannot_take_a_stronger_role(
        self, api_database: Database, addresses: ServiceAddresses, stronger: str
    ) -> None:
        role = addresses.owner_url.username if stronger == "owner" else stronger
        async with without_role(api_database) as connection:
            assert await sqlstate(connection, f"SET ROLE {role}") == DENIED
            assert await sqlstate(connection, f"SELECT set_config('role', '{role}', true)") == DENIED
        async with api_database.tenant(new_id()) as session:
            assert await sqlstate(session, f"SET LOCAL ROLE {role}") == DENIED

    async def test_a_system_transaction_is_the_workers_alone(
        self, api_database: Database, database: Database, sample_tenant: SampleTenant
    ) -> None:
        with pytest.raises(DBAPIError, match="ignite_system"):
            async with api_database.system() as session:
                await session.execute(text("SELECT 1 FROM tenants"))
        async with database.system() as session:
            found = await session.scalar(text("SELECT id FROM tenants WHERE id = :id"), {"id": sample_tenant.tenant.id})
        assert found == sample_tenant.tenant.id

    async def test_it_reads_plans_and_cannot_write_them(self, api_database: Database) -> None:
        async with api_database.tenant(new_id()) as session:
            assert await session.scalar(text("SELECT count(*) FROM plans WHERE id IN ('hobby', 'pro')")) == 2
            for statement in ("UPDATE plans SET max_projects = 99", "DELETE FROM plans"):
                assert await sqlstate(session, statement) == DENIED

    async def test_nothing_is_left_on_the_connection(self, api_database: Database, sample_tenant: SampleTenant) -> None:
        owner = sample_tenant.tenant.id

        async def fail() -> None:
            async with api_database.tenant(owner) as session:
                assert await count(session, "projects") == len(sample_tenant.ids_by_engine)
                raise ZeroDivisionError

        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await fail()
            async with api_database.tenant(owner) as session:
                assert await count(session, "projects") == len(sample_tenant.ids_by_engine)
            async with without_role(api_database) as connection:
                row = await connection.execute(
                    text("SELECT current_user, session_user, current_setting('app.tenant_id', true)")
                )
                assert tuple(row.one()) == ("ignite_api", "ignite_api", "")
            async with api_database.tenant(None) as session:
                assert await count(session, "projects") == 0

    @pytest.mark.parametrize("login", ["worker_url", "owner_url"])
    async def test_production_refuses_a_stronger_one(
        self, settings: Settings, addresses: ServiceAddresses, login: str
    ) -> None:
        production = settings.model_copy(
            update={
                "app": settings.app.model_copy(update={"env": "production"}),
                "jwt": settings.jwt.model_copy(update={"secret": SecretStr(STRONG_SECRET)}),
            }
        )
        stronger = replace(addresses, api_url=getattr(addresses, login))
        with pytest.raises(ConfigurationError, match="row-level security"):
            async with open_state(production, stronger):
                pass
        async with open_state(production, addresses) as state:
            assert state["settings"] is production


class TestTenantTransaction:
    """These tests check which rows a tenant's transaction sees and writes, in every table."""

    @pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
    async def test_holds(self, probed: ProbedDatabase, probe: Probe) -> None:
        assert await probe(probed) == []

    async def test_its_own_rows_can_be_written(self, api_database: Database) -> None:
        """Without this test, a role without any right to write would pass all others."""
        own = new_id()
        async with api_database.tenant(own) as session:
            await session.execute(
                text("INSERT INTO tenants (id, name, plan_id, billing_cycle) VALUES (:id, 'A', 'hobby', 'monthly')"),
                {"id": own},
            )
            await session.execute(
                text("INSERT INTO projects (tenant_id, id, name) VALUES (:id, :id, 'Docs')"), {"id": own}
            )
            await session.execute(text("UPDATE projects SET name = 'Other'"))
            assert await session.scalar(text("DELETE FROM projects RETURNING name")) == "Other"
