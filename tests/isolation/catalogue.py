"""Checks of the system catalogue that row-level security depends on; each returns a list of faults."""

# ruff: noqa: S608  every statement is put together from what stands in this file

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from support.feature_contracts import contracts

# tables that belong to no tenant, with the reason; every other table belongs to tenants
SHARED_TABLES = {
    "alembic_version": "the migrations' own",
    "periodic_runs": "how the scheduler fares; names of jobs and times",
    **{name: reason for each in contracts().values() for name, reason in each.shared_tables.items()},
}
# functions that do not run with their caller's rights, and the role with whose rights they run
DEFINER_FUNCTIONS = {
    "search_lexical(uuid,integer[],sparsevec,integer)": "ignite_search",
    "search_lexical_within(uuid,integer[],sparsevec,integer,uuid[],integer)": "ignite_search",
    **dict.fromkeys(
        (
            "erase_events(uuid,integer)",
            "erase_ledger(uuid,integer)",
            "remove_old_events(timestamp with time zone,integer)",
        ),
        "ignite_retention",
    ),
}
# unique indexes over the rows of all tenants, with the reason why they reveal nothing
GLOBALLY_UNIQUE: dict[str, str] = {}
# tables with a policy for ignite_operator, besides the two that every table has for ignite_tenant and ignite_system
OPERATED = ("audit_events", "subscriptions", "tenants")
OF_TENANTS = "(kind = 'tenant'::text)"
OTHER_POLICIES = {
    **{(table, "ignite_search"): ("SELECT", "PERMISSIVE", "true", None) for table in ("chunks", "documents")},
    **{(table, "ignite_operator"): ("ALL", "PERMISSIVE", "true", "true") for table in OPERATED},
    ("deletions", "ignite_operator"): ("SELECT", "PERMISSIVE", OF_TENANTS, None),
    ("deletions", "ignite_retention"): ("SELECT", "PERMISSIVE", "true", None),
    **{
        (table, "ignite_retention"): ("ALL", "PERMISSIVE", "true", "true") for table in ("audit_events", "usage_ledger")
    },
}
# tables that lose their rows of deleted projects, and a part of the policy's condition
HIDDEN = {
    **dict.fromkeys(("conversations", "documents", "files"), "p.deleted_at IS NOT NULL"),
    "messages": "c.id = messages.conversation_id",
}
# in the table `tenants` the row's own id names the tenant
_TENANT_COLUMN = "CASE WHEN c.relname = 'tenants' THEN 'id' ELSE 'tenant_id' END"
_TENANT_TABLES = f"""
SELECT c.oid, c.relname::text AS name, a.attname::text AS key, a.attnum, a.attnotnull, c.relrowsecurity,
    c.relforcerowsecurity
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attname = {_TENANT_COLUMN}
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""


@dataclass(frozen=True, slots=True)
class TenantTable:
    """A table with rows of tenants; the column `key` names the tenant."""

    name: str
    key: str


@asynccontextmanager
async def owner_connection(url: URL) -> AsyncGenerator[AsyncConnection]:
    """Connect to the database; each statement is committed at once."""
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def tenant_tables(connection: AsyncConnection) -> list[TenantTable]:
    """Return the tables with rows of tenants, sorted by name."""
    rows = await connection.execute(text(f"SELECT name, key FROM ({_TENANT_TABLES}) t ORDER BY name"))
    return [TenantTable(row.name, row.key) for row in rows]


async def _faults(connection: AsyncConnection, statement: str, **values: Any) -> list[str]:
    rows = await connection.execute(text(f"WITH tenant_tables AS ({_TENANT_TABLES}) {statement}"), values)
    return sorted(str(fault) for (fault,) in rows)


async def tables_are_protected(connection: AsyncConnection) -> list[str]:
    """Row-level security must hold for each table, also for its owner, on a column that is never null."""
    return await _faults(
        connection,
        "SELECT name FROM tenant_tables WHERE NOT (attnotnull AND relrowsecurity AND relforcerowsecurity)",
    )


async def tables_are_known(connection: AsyncConnection) -> list[str]:
    """Every table and materialized view must belong to tenants, or be in SHARED_TABLES with a reason."""
    return await _faults(
        connection,
        "SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'f', 'm') AND n.nspname !~ '^(pg_|information_schema$)' "
        "AND c.oid NOT IN (SELECT oid FROM tenant_tables) AND c.oid::regclass::text <> ALL (:shared)",
        shared=list(SHARED_TABLES),
    )


async def policies_are_regular(connection: AsyncConnection) -> list[str]:
    """Each tenant table must have one policy for each role, with both clauses (USING and WITH CHECK).

    Beside them some tables have the policy `hidden`, which takes away the rows of deleted projects.
    """
    rows = await connection.execute(
        text(
            "SELECT tablename, array_to_string(roles, ','), cmd, permissive, qual, with_check FROM pg_policies "
            "WHERE schemaname = 'public' AND policyname <> 'hidden'"
        )
    )
    policies: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for table, role, *rest in rows:
        policies.setdefault((str(table), str(role)), []).append(tuple(rest))
    faults = [f"{table}: another policy for {role}" for (table, role), found in policies.items() if len(found) > 1]
    for table in await tenant_tables(connection):
        (own,) = policies.pop((table.name, "ignite_tenant"), [()])[:1]
        if not _is_regular(own, table.key):
            faults.append(f"{table.name}: ignite_tenant has {own}")
        (system,) = policies.pop((table.name, "ignite_system"), [()])[:1]
        if system != ("ALL", "PERMISSIVE", "true", "true"):
            faults.append(f"{table.name}: ignite_system has {system}")
    others = {place: found[0] for place, found in policies.items()}
    differing = {place for place in others.keys() | OTHER_POLICIES if others.get(place) != OTHER_POLICIES.get(place)}
    faults += [f"{table}: {role} has {others.get((table, role))}" for table, role in sorted(differing)]
    return faults + await _irregularly_hidden(connection)


async def _irregularly_hidden(connection: AsyncConnection) -> list[str]:
    rows = await connection.execute(
        text(
            "SELECT tablename, array_to_string(roles, ','), cmd, permissive, with_check, qual FROM pg_policies "
            "WHERE schemaname = 'public' AND policyname = 'hidden'"
        )
    )
    found = {str(table): (tuple(rest), str(using)) for table, *rest, using in rows}
    expected = ("ignite_tenant", "ALL", "RESTRICTIVE", None)
    return [
        f"{table}: rows of deleted projects are not hidden"
        for table, condition in HIDDEN.items()
        if table not in found or found[table][0] != expected or condition not in found[table][1]
    ] + [f"{table}: hidden for no reason" for table in found.keys() - HIDDEN]


def _is_regular(policy: tuple[Any, ...], key: str) -> bool:
    if len(policy) != 4:
        return False
    command, kind, using, check = policy
    compared = str(using).startswith(f"({key} = (") and str(using).count("current_setting('app.tenant_id'") == 1
    return (command, kind, check) == ("ALL", "PERMISSIVE", using) and compared and " OR " not in str(using).upper()


async def unique_keys_carry_the_tenant(connection: AsyncConnection) -> list[str]:
    """Unique indexes must begin with the tenant, also partial ones.

    A key that is unique over all tenants would tell one tenant which values another one has.
    """
    return await _faults(
        connection,
        "SELECT i.indexrelid::regclass FROM pg_index i JOIN tenant_tables t ON t.oid = i.indrelid "
        "WHERE i.indisunique AND i.indkey[0] <> t.attnum AND i.indexrelid::regclass::text <> ALL (:allowed)",
        allowed=list(GLOBALLY_UNIQUE),
    )


async def an_index_leads_with_the_tenant(connection: AsyncConnection) -> list[str]:
    """Each table needs an index of all rows that begins with the tenant.

    Without it, the policy alone would make every query read the rows of all tenants.
    """
    return await _faults(
        connection,
        "SELECT name FROM tenant_tables t WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid "
        "AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = t.attnum)",
    )


async def foreign_keys_carry_the_tenant(connection: AsyncConnection) -> list[str]:
    """Foreign keys must contain the tenant.

    PostgreSQL checks them without the policies, so a key without the tenant could point to a row of another tenant.
    """
    return await _faults(
        connection,
        "SELECT k.conrelid::regclass || '.' || k.conname FROM pg_constraint k "
        "JOIN tenant_tables target ON target.oid = k.confrelid LEFT JOIN tenant_tables t ON t.oid = k.conrelid "
        "WHERE k.contype = 'f' AND NOT EXISTS (SELECT FROM unnest(k.conkey, k.confkey) pair (mine, theirs) "
        "WHERE mine = t.attnum AND theirs = target.attnum)",
    )


async def functions_run_as_their_caller(connection: AsyncConnection) -> list[str]:
    """Functions must run with the rights of their caller, except for DEFINER_FUNCTIONS.

    Those must not be executable by everybody, and must fix their search_path so that no other schema can replace a
    name.
    """
    return await _faults(
        connection,
        "SELECT p.oid::regprocedure || ' as ' || p.proowner::regrole FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE p.prosecdef AND n.nspname !~ '^(pg_|information_schema$)' "
        "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') "
        "AND NOT (p.oid::regprocedure || ' as ' || p.proowner::regrole = ANY (:known) "
        "AND 'search_path=pg_catalog, pg_temp' = ANY (p.proconfig) "
        "AND NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0))",
        known=[f"{function} as {owner}" for function, owner in DEFINER_FUNCTIONS.items()],
    )


async def views_run_as_their_caller(connection: AsyncConnection) -> list[str]:
    """Views must have `security_invoker`, because otherwise a view reads with the rights of its owner."""
    return await _faults(
        connection,
        "SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'v' AND n.nspname !~ '^(pg_|information_schema$)' "
        "AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false) "
        "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
    )


async def no_privilege_goes_past_the_policies(connection: AsyncConnection) -> list[str]:
    """No role may have a privilege that policies do not restrict.

    Policies do not apply to TRUNCATE, and REFERENCES and TRIGGER can reveal rows. PUBLIC must have no privilege at all.
    """
    return await _faults(
        connection,
        "SELECT r.role || ' may ' || p.privilege || ' ' || c.relname FROM pg_class c, "
        "unnest(ARRAY['ignite_tenant', 'ignite_system', 'ignite_operator', 'ignite_search', 'ignite_retention']) "
        "r (role), "
        "unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) p (privilege) "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') "
        "AND has_table_privilege(r.role, c.oid, p.privilege) "
        "UNION ALL SELECT 'PUBLIC may ' || a.privilege_type || ' ' || c.relname FROM pg_class c, "
        "aclexplode(c.relacl) a WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0 "
        "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
    )


Check = Callable[[AsyncConnection], Awaitable[list[str]]]
CHECKS: tuple[Check, ...] = (
    tables_are_protected,
    tables_are_known,
    policies_are_regular,
    unique_keys_carry_the_tenant,
    an_index_leads_with_the_tenant,
    foreign_keys_carry_the_tenant,
    functions_run_as_their_caller,
    views_run_as_their_caller,
    no_privilege_goes_past_the_policies,
)
