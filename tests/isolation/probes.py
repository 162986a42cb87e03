"""Probes of what a tenant can reach of another tenant's rows if the code forgets every check; each returns leaks."""

# ruff: noqa: S608  the names of the tables come from the system catalogue

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from isolation.catalogue import HIDDEN, OPERATED, TenantTable

DENIED = "42501"  # insufficient_privilege; a policy's refusal has the same code
CONSTRAINT_CLASS = "23"  # SQLSTATEs that begin with this are violated constraints
_A_CHUNK = "SELECT id, project_id, document_id, terms, lexical::text AS lexical FROM chunks ORDER BY id LIMIT 1"
_RECORDS = "SELECT (SELECT count(*) FROM audit_events), (SELECT count(*) FROM usage_ledger)"
_ERASED = (
    "INSERT INTO deletions (tenant_id, id, kind, state, notified_at) VALUES (:tenant, :tenant, 'tenant', 'completed', "
    "now())"
)
_SEARCH = "SELECT chunk_id FROM search_lexical(:project_id, :terms, CAST(:lexical AS text)::sparsevec, 10)"
# in documents that are named, with a score for each chunk, and by the index of words
_SEARCH_WITHIN = """
SELECT chunk_id FROM unnest(ARRAY[0, 1000]) AS few, LATERAL search_lexical_within(
    :project_id, :terms, CAST(:lexical AS text)::sparsevec, 10, ARRAY[CAST(:document_id AS uuid)], few
)
"""


@dataclass(frozen=True, slots=True)
class ProbedDatabase:
    """A database with the rows of one tenant, the `owner`, as each of the program's three logins."""

    api: Database
    worker: Database
    admin: Database
    owner: UUID
    tables: Sequence[TenantTable]


@asynccontextmanager
async def undone(database: Database, tenant_id: UUID | None) -> AsyncGenerator[AsyncSession]:
    """Begin a transaction that is rolled back, so that a leak does no harm."""
    async with database.tenant(tenant_id) as session:
        yield session
        await session.rollback()


@asynccontextmanager
async def undone_by_operator(database: Database) -> AsyncGenerator[AsyncSession]:
    """Begin a transaction of an administrator that is rolled back."""
    async with database.operator() as session:
        yield session
        await session.rollback()


async def sqlstate(session: AsyncSession | AsyncConnection, statement: str, **values: object) -> str | None:
    """Run a statement, and return the SQLSTATE of its error or None; the transaction can go on."""
    try:
        async with session.begin_nested():
            await session.execute(text(statement), values)
    except DBAPIError as error:
        state: str = error.orig.sqlstate  # type: ignore[union-attr]  # as asyncpg's adapter names it
        return state
    return None


async def _reaches(session: AsyncSession, statement: str, **values: object) -> bool:
    """Tell whether a statement finds a row that it may change.

    An error of a constraint counts as found, because a constraint does not protect the row from another tenant.
    """
    try:
        async with session.begin_nested():
            return (await session.execute(text(f"{statement} RETURNING 1"), values)).first() is not None
    except DBAPIError as error:
        state: str = error.orig.sqlstate  # type: ignore[union-attr]  # as asyncpg's adapter names it
        if state != DENIED and not state.startswith(CONSTRAINT_CLASS):
            raise
        return state != DENIED


async def the_owner_sees_its_own(probed: ProbedDatabase) -> list[str]:
    """The owner must see its rows in every table, and no others.

    Without rows in a table, the other probes of that table would find nothing and prove nothing.
    """
    faults = []
    async with probed.api.tenant(probed.owner) as session:
        for table in probed.tables:
            seen = (await session.scalars(text(f"SELECT DISTINCT {table.key} FROM {table.name}"))).all()
            if seen != [probed.owner]:
                faults.append(f"{table.name}: rows of {'others' if seen else 'nobody'}")
    return faults


async def the_system_sees_all(probed: ProbedDatabase) -> list[str]:
    """The system role must see the rows of every table, because sweepers and roll-ups need them."""
    own = "SELECT EXISTS (SELECT FROM {name} WHERE {key} = :owner)"
    async with probed.worker.system() as session:
        return [
            f"{table.name}: hidden from ignite_system"
            for table in probed.tables
            if not await session.scalar(text(own.format(name=table.name, key=table.key)), {"owner": probed.owner})
        ]


async def operators_see_what_they_operate(probed: ProbedDatabase) -> list[str]:
    """Administrators must see tenants, subscriptions and the audit log.

    Of deletions they must see those of whole tenants. Every other table must be refused, whatever its policies say.
    """
    faults = []
    async with undone_by_operator(probed.admin) as session:
        for table in probed.tables:
            if table.name == "deletions":
                faults += await _receipts_seen_wrongly(probed)
                continue
            if table.name not in OPERATED:
                if await sqlstate(session, f"SELECT 1 FROM {table.name}") != DENIED:
                    faults.append(f"{table.name}: read by ignite_operator")
                continue
            own = f"SELECT EXISTS (SELECT FROM {table.name} WHERE {table.key} = :owner)"
            if not await session.scalar(text(own), {"owner": probed.owner}):
                faults.append(f"{table.name}: hidden from ignite_operator")
    return faults


async def _receipts_seen_wrongly(probed: ProbedDatabase) -> list[str]:
    """Make the receipt of a whole tenant, and tell what an operator does not see of it or sees of others."""
    erased = new_id()
    async with probed.worker.system() as session:
        await sqlstate(session, _ERASED, tenant=erased)
    async with undone_by_operator(probed.admin) as session:
        seen = set(await session.scalars(text("SELECT tenant_id FROM deletions")))
    async with probed.worker.system() as session:
        await session.execute(text("DELETE FROM deletions WHERE tenant_id = :tenant"), {"tenant": erased})
    faults = [] if erased in seen else ["deletions: receipts of tenants hidden from ignite_operator"]
    return faults + ["deletions: others read by ignite_operator" for tenant in seen if tenant == probed.owner]


async def only_an_erased_tenant_loses_its_records(probed: ProbedDatabase) -> list[str]:
    """The functions that remove events and entries must refuse any other tenant, and events of the last 30 days."""
    if not {"audit_events", "usage_ledger", "deletions"} & {table.name for table in probed.tables}:
        return []
    faults = []
    calls = ("SELECT erase_events(:owner, 1000)", "SELECT erase_ledger(:owner, 1000)")
    async with probed.worker.system() as session:
        for call in (*calls, "SELECT remove_old_events(now() - interval '29 days', 1)"):
            values = {"owner": probed.owner} if ":owner" in call else {}
            if await sqlstate(session, call, **values) != DENIED:
                faults.append(f"{call}: not refused")
        await sqlstate(session, _ERASED, tenant=probed.owner)
        before = (await session.execute(text(_RECORDS))).one()
        refused = [await sqlstate(session, call, owner=probed.owner) for call in calls]
        after = (await session.execute(text(_RECORDS))).one()
        faults += [
            f"{call}: removes nothing of an erased tenant"
            for call, state, *counts in zip(calls, refused, before, after, strict=True)
            if state or counts[0] == counts[1]
        ]
        await session.rollback()
    return faults


async def a_stranger_sees_and_changes_nothing(probed: ProbedDatabase) -> list[str]:
    """Another tenant, and a transaction without a tenant, must reach no row."""
    leaks = []
    for tenant_id in (new_id(), None):
        async with undone(probed.api, tenant_id) as session:
            for table in probed.tables:
                own = f"WHERE {table.key} = :owner"
                if await session.scalar(text(f"SELECT count(*) FROM {table.name}")):
                    leaks.append(f"{table.name}: read")
                update = f"UPDATE {table.name} SET {table.key} = {table.key} {own}"
                if await _reaches(session, update, owner=probed.owner):
                    leaks.append(f"{table.name}: changed")
                if await _reaches(session, f"DELETE FROM {table.name} {own}", owner=probed.owner):
                    leaks.append(f"{table.name}: deleted")
    return leaks


async def no_row_is_written_for_another(probed: ProbedDatabase) -> list[str]:
    """A tenant, and a transaction without a tenant, must not insert a row for another tenant."""
    leaks = []
    for tenant_id in (new_id(), None):
        async with undone(probed.api, tenant_id) as session:
            for table in probed.tables:
                insert = f"INSERT INTO {table.name} ({table.key}) VALUES (:tenant)"
                if await sqlstate(session, insert, tenant=new_id()) != DENIED:
                    leaks.append(f"{table.name}: a row for another")
    return leaks


async def no_row_is_given_away(probed: ProbedDatabase) -> list[str]:
    """A tenant must not give its rows to another tenant."""
    give = "UPDATE {name} SET {key} = :other"
    async with undone(probed.api, probed.owner) as session:
        return [
            f"{table.name}: rows given away"
            for table in probed.tables
            if await sqlstate(session, give.format(name=table.name, key=table.key), other=new_id()) != DENIED
        ]


async def a_deleted_project_is_hidden(probed: ProbedDatabase) -> list[str]:
    """The owner must neither see nor write the rows of a deleted project."""
    faults = []
    async with undone(probed.api, probed.owner) as session:
        parents = {table: "project_id" for table in HIDDEN if table != "messages"} | {"messages": "conversation_id"}
        ids = {
            "project_id": await session.scalar(text("SELECT id FROM projects WHERE deleted_at IS NULL LIMIT 1")),
            "conversation_id": await session.scalar(text("SELECT id FROM conversations LIMIT 1")),
        }
        await session.execute(text("UPDATE projects SET deleted_at = now()"))
        for table in (table.name for table in probed.tables if table.name in HIDDEN):
            if await session.scalar(text(f"SELECT count(*) FROM {table}")):
                faults.append(f"{table}: rows of a deleted project are seen")
            parent = parents[table]
            insert = f"INSERT INTO {table} (tenant_id, {parent}) VALUES (:tenant, :parent)"
            if await sqlstate(session, insert, tenant=probed.owner, parent=ids[parent]) != DENIED:
                faults.append(f"{table}: a row for a deleted project")
    return faults


async def the_search_holds_the_tenant(probed: ProbedDatabase) -> list[str]:
    """The search functions must return only the tenant's visible chunks.

    They read with the rights of their owner, so the policies of its caller do not protect the rows.
    """
    async with undone(probed.api, probed.owner) as session:
        row = (await session.execute(text(_A_CHUNK))).mappings().first()
        if row is None:
            return ["search: no chunk"]
        values = {name: row[name] for name in ("project_id", "document_id", "terms", "lexical")}
        faults = [] if await _finds(session, values) == [row["id"]] * 3 else ["search: the owner's chunk is not found"]
        for value in ("", str(UUID(int=0))):
            await session.execute(text("SELECT set_config('app.tenant_id', :value, true)"), {"value": value})
            faults += [f"search: {value!r} finds a chunk" for _ in await _finds(session, values)]
        await session.execute(text("SELECT set_config('app.tenant_id', :value, true)"), {"value": str(probed.owner)})
        await session.execute(text("UPDATE documents SET hidden_at = now()"))
        faults += ["search: a hidden document is found" for _ in await _finds(session, values)]
    for stranger in (new_id(), None):
        async with probed.api.tenant(stranger) as session:
            faults += ["search: a stranger finds a chunk" for _ in await _finds(session, values)]
    return faults


async def _finds(session: AsyncSession, values: dict[str, object]) -> list[UUID]:
    """Return what is found in all documents, and in one of them in two ways."""
    return [found for search in (_SEARCH, _SEARCH_WITHIN) for found in await session.scalars(text(search), values)]


Probe = Callable[[ProbedDatabase], Awaitable[list[str]]]
PROBES: tuple[Probe, ...] = (
    the_owner_sees_its_own,
    the_system_sees_all,
    operators_see_what_they_operate,
    only_an_erased_tenant_loses_its_records,
    a_stranger_sees_and_changes_nothing,
    no_row_is_written_for_another,
    no_row_is_given_away,
    a_deleted_project_is_hidden,
    the_search_holds_the_tenant,
)
