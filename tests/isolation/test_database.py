"""Row-level security below the code: what the API's login can reach when the code forgets everything."""

# ruff: noqa: S608  the tables' names come from the catalogue

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from databases import fetch
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.main import open_state
from isolation.household import Household

DENIED = "42501"  # insufficient_privilege, also what a policy says
FILLED = {
    "chunks",
    "conversations",
    "documents",
    "files",
    "idempotency_keys",
    "messages",
    "projects",
    "rag_indexes",
    "subscriptions",
    "tenants",
    "term_stats",
    "usage_counters",
    "usage_daily",
    "usage_ledger",
    "usage_reservations",
}
LOGINS = ("ignite_api", "ignite_worker")
# the tenant itself is the one row that is known by its own id
TENANT_TABLES = """
SELECT c.relname, a.attname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
    AND a.attname = CASE WHEN c.relname = 'tenants' THEN 'id' ELSE 'tenant_id' END
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""
A_CHUNK = "SELECT id, terms, lexical::text AS lexical FROM chunks ORDER BY id LIMIT 1"
ALL_TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1
"""


@pytest.fixture(scope="module")
async def tables(addresses: ServiceAddresses) -> list[tuple[str, str]]:
    """Every table of tenants, with the column that names the tenant."""
    found = [(str(table), str(key)) for table, key in await fetch(addresses.owner_url, TENANT_TABLES)]
    assert {table for table, _ in found} >= FILLED
    return found


@asynccontextmanager
async def bare(database: Database) -> AsyncGenerator[AsyncConnection]:
    """A transaction that took no role; whatever it did is undone."""
    async with database.engine.connect() as connection:
        yield connection
        await connection.rollback()


async def sqlstate(session: AsyncSession | AsyncConnection, statement: str, **values: object) -> str | None:
    """How the database refuses a statement; the transaction goes on."""
    try:
        async with session.begin_nested():
            await session.execute(text(statement), values)
    except DBAPIError as error:
        state: str = error.orig.sqlstate  # type: ignore[union-attr]  # as asyncpg's adapter names it
        return state
    return None


async def changed(session: AsyncSession, statement: str, **values: object) -> int:
    """How many rows a statement changed; none where the role may not run it at all."""
    try:
        async with session.begin_nested():
            return len((await session.execute(text(f"{statement} RETURNING 1"), values)).all())
    except DBAPIError as error:
        if error.orig.sqlstate != DENIED:  # type: ignore[union-attr]  # as asyncpg's adapter names it
            raise
        return 0


async def count(session: AsyncSession, table: str) -> int:
    return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


class TestTheCatalogue:
    """What the migrations left, table by table."""

    async def test_every_table_of_tenants_is_protected(
        self, addresses: ServiceAddresses, tables: list[tuple[str, str]]
    ) -> None:
        secured = await fetch(
            addresses.owner_url,
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relrowsecurity AND relforcerowsecurity",
        )
        assert {table for table, _ in tables} == {str(table) for (table,) in secured}

    async def test_every_policy_is_one_of_three(
        self, addresses: ServiceAddresses, tables: list[tuple[str, str]]
    ) -> None:
        policies = await fetch(
            addresses.owner_url,
            "SELECT tablename, array_to_string(roles, ','), cmd, permissive, qual, with_check FROM pg_policies "
            "WHERE schemaname = 'public'",
        )
        by_role = {(str(table), str(role)): tuple(rest) for table, role, *rest in policies}
        assert len(by_role) == len(policies)
        for table, key in tables:
            command, kind, using, check = by_role.pop((table, "ignite_tenant"))
            assert (command, kind) == ("ALL", "PERMISSIVE")
            assert str(using).startswith(f"({key} = (")
            assert "current_setting('app.tenant_id'" in str(using)
            assert check == using
            assert by_role.pop((table, "ignite_system")) == ("ALL", "PERMISSIVE", "true", "true")
        assert by_role == {
            (table, "ignite_search"): ("SELECT", "PERMISSIVE", "true", None) for table in ("chunks", "documents")
        }

    async def test_no_foreign_key_crosses_tenants(
        self, addresses: ServiceAddresses, tables: list[tuple[str, str]]
    ) -> None:
        keys = await fetch(
            addresses.owner_url,
            "SELECT conrelid::regclass::text, confrelid::regclass::text, "
            "ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY k (n, i) "
            "JOIN pg_attribute ON attrelid = conrelid AND attnum = n ORDER BY i), "
            "ARRAY(SELECT attname::text FROM unnest(confkey) WITH ORDINALITY k (n, i) "
            "JOIN pg_attribute ON attrelid = confrelid AND attnum = n ORDER BY i) "
            "FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace",
        )
        tenant_column = dict(tables)
        checked = [
            (tenant_column[table], tenant_column[target]) in zip(columns, target_columns, strict=True)
            for table, target, columns, target_columns in keys
            if target in tenant_column
        ]
        assert len(checked) > 10
        assert all(checked)

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


class TestTheLoginOfTheApi:
    """`ignite_api`, with and without its one role."""

    async def test_without_a_role_nothing_can_be_read(
        self, addresses: ServiceAddresses, api_database: Database
    ) -> None:
        names = [str(name) for (name,) in await fetch(addresses.owner_url, ALL_TABLES)]
        assert "items" in names
        async with bare(api_database) as connection:
            for name in names:
                assert await sqlstate(connection, f"SELECT 1 FROM {name}") == DENIED, name
                assert await sqlstate(connection, f"DELETE FROM {name}") == DENIED, name
            search = "SELECT * FROM search_lexical(gen_random_uuid(), '{1}', '{}/1048576', 1)"
            assert await sqlstate(connection, search) == DENIED

    @pytest.mark.parametrize("stronger", ["ignite_system", "ignite_search", "ignite_worker", "owner"])
    async def test_it_cannot_take_a_stronger_role(
        self, api_database: Database, addresses: ServiceAddresses, stronger: str
    ) -> None:
        role = addresses.owner_url.username if stronger == "owner" else stronger
        async with bare(api_database) as connection:
            assert await sqlstate(connection, f"SET ROLE {role}") == DENIED
            assert await sqlstate(connection, f"SELECT set_config('role', '{role}', true)") == DENIED
        async with api_database.tenant(new_id()) as session:
            assert await sqlstate(session, f"SET LOCAL ROLE {role}") == DENIED

    async def test_a_system_transaction_is_the_workers_alone(
        self, api_database: Database, database: Database, household: Household
    ) -> None:
        with pytest.raises(DBAPIError, match="ignite_system"):
            async with api_database.system() as session:
                await session.execute(text("SELECT 1 FROM tenants"))
        async with database.system() as session:
            found = await session.scalar(text("SELECT id FROM tenants WHERE id = :id"), {"id": household.tenant.id})
        assert found == household.tenant.id

    async def test_it_reads_plans_and_cannot_write_them(self, api_database: Database) -> None:
        async with api_database.tenant(new_id()) as session:
            assert await session.scalar(text("SELECT count(*) FROM plans WHERE id IN ('hobby', 'pro')")) == 2
            for statement in ("UPDATE plans SET max_projects = 99", "DELETE FROM plans"):
                assert await sqlstate(session, statement) == DENIED

    async def test_nothing_is_left_on_the_connection(self, api_database: Database, household: Household) -> None:
        owner = household.tenant.id

        async def fail() -> None:
            async with api_database.tenant(owner) as session:
                assert await count(session, "projects") == 1
                raise ZeroDivisionError

        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await fail()
            async with api_database.tenant(owner) as session:
                assert await count(session, "projects") == 1
            async with bare(api_database) as connection:
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
                "jwt": settings.jwt.model_copy(update={"secret": SecretStr("s" * 32)}),
            }
        )
        stronger = replace(addresses, api_url=getattr(addresses, login))
        with pytest.raises(ConfigurationError, match="row-level security"):
            async with open_state(production, stronger):
                pass
        async with open_state(production, addresses) as state:
            assert state["settings"] is production


class TestATenantsTransaction:
    """Sees and writes the tenant's rows, in every table there is."""

    async def test_it_sees_its_own_rows_and_no_others(
        self, database: Database, household: Household, tables: list[tuple[str, str]]
    ) -> None:
        filled = set()
        async with database.tenant(household.tenant.id) as session:
            for table, key in tables:
                seen = (await session.scalars(text(f"SELECT DISTINCT {key} FROM {table}"))).all()
                assert seen in ([], [household.tenant.id]), table
                filled |= {table} if seen else set()
        assert filled >= FILLED

    @pytest.mark.parametrize("stranger", ["another tenant", "no tenant"])
    async def test_a_stranger_sees_and_changes_none(
        self, api_database: Database, household: Household, tables: list[tuple[str, str]], stranger: str
    ) -> None:
        tenant_id = new_id() if stranger == "another tenant" else None
        owner = household.tenant.id
        async with api_database.tenant(tenant_id) as session:
            for table, key in tables:
                assert await count(session, table) == 0, table
                own = f"WHERE {key} = :owner"
                assert await changed(session, f"UPDATE {table} SET {key} = {key} {own}", owner=owner) == 0, table
                assert await changed(session, f"DELETE FROM {table} {own}", owner=owner) == 0, table

    async def test_a_row_for_another_tenant_is_refused(
        self, api_database: Database, tables: list[tuple[str, str]]
    ) -> None:
        async with api_database.tenant(new_id()) as session:
            for table, key in tables:
                insert = f"INSERT INTO {table} ({key}) VALUES (:tenant)"
                assert await sqlstate(session, insert, tenant=new_id()) == DENIED, table

    async def test_without_a_tenant_no_row_is_accepted(
        self, api_database: Database, tables: list[tuple[str, str]]
    ) -> None:
        async with api_database.tenant(None) as session:
            for table, key in tables:
                insert = f"INSERT INTO {table} ({key}) VALUES (:tenant)"
                assert await sqlstate(session, insert, tenant=new_id()) == DENIED, table

    async def test_a_row_cannot_be_given_away(
        self, api_database: Database, household: Household, tables: list[tuple[str, str]]
    ) -> None:
        async with api_database.tenant(household.tenant.id) as session:
            for table, key in tables:
                if table not in FILLED:
                    continue
                give = f"UPDATE {table} SET {key} = :other"
                assert await sqlstate(session, give, other=new_id()) == DENIED, table

    async def test_its_own_rows_can_be_written(self, api_database: Database) -> None:
        """What the refusals above are not: a role that may write nothing at all."""
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


class TestTheSearchFunction:
    """It reads past the policy of its caller, so it must hold the tenant itself."""

    @staticmethod
    async def search(session: AsyncSession, project: str, terms: list[int], lexical: str) -> list[UUID]:
        found = await session.scalars(
            text("SELECT chunk_id FROM search_lexical(:project, :terms, CAST(:lexical AS text)::sparsevec, 10)"),
            {"project": UUID(project), "terms": terms, "lexical": lexical},
        )
        return list(found)

    async def test_it_finds_the_callers_chunks_alone(self, api_database: Database, household: Household) -> None:
        async with api_database.tenant(household.tenant.id) as session:
            row = (await session.execute(text(A_CHUNK))).one()
            assert await self.search(session, household.project, row.terms, row.lexical) == [row.id]
        for stranger in (new_id(), None):
            async with api_database.tenant(stranger) as session:
                assert await self.search(session, household.project, row.terms, row.lexical) == []

    async def test_a_tenant_that_is_no_id_finds_nothing(self, api_database: Database, household: Household) -> None:
        async with api_database.tenant(household.tenant.id) as session:
            row = (await session.execute(text(A_CHUNK))).one()
            for value in ("", str(UUID(int=0))):
                await session.execute(text("SELECT set_config('app.tenant_id', :value, true)"), {"value": value})
                assert await self.search(session, household.project, row.terms, row.lexical) == []
