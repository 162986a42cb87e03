"""What one tenant can reach of another's rows when the code forgets everything. Each probe lists leaks."""

# ruff: noqa: S608  the tables' names come from the catalogue

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
from isolation.catalogue import OPERATED, TenantTable

DENIED = "42501"  # insufficient_privilege, also what a policy says
CONSTRAINT_CLASS = "23"  # of SQLSTATEs
_A_CHUNK = "SELECT id, project_id, terms, lexical::text AS lexical FROM chunks ORDER BY id LIMIT 1"
_SEARCH = "SELECT chunk_id FROM search_lexical(:project_id, :terms, CAST(:lexical AS text)::sparsevec, 10)"


@dataclass(frozen=True, slots=True)
class Ground:
    """A database with rows of one tenant, and the three logins of the program."""

    api: Database
    worker: Database
    admin: Database
    owner: UUID
    tables: Sequence[TenantTable]


@asynccontextmanager
async def undone(database: Database, tenant_id: UUID | None) -> AsyncGenerator[AsyncSession]:
    """A transaction whose leaks do no harm."""
    async with database.tenant(tenant_id) as session:
        yield session
        await session.rollback()


@asynccontextmanager
async def undone_by_operator(database: Database) -> AsyncGenerator[AsyncSession]:
    """The same for an administrator."""
    async with database.operator() as session:
        yield session
        await session.rollback()


async def sqlstate(session: AsyncSession | AsyncConnection, statement: str, **values: object) -> str | None:
    """How the database refuses a statement; the transaction goes on."""
    try:
        async with session.begin_nested():
            await session.execute(text(statement), values)
    except DBAPIError as error:
        state: str = error.orig.sqlstate  # type: ignore[union-attr]  # as asyncpg's adapter names it
        return state
    return None


async def _reaches(session: AsyncSession, statement: str, **values: object) -> bool:
    """Whether a statement finds a row to change; that a constraint then holds the row is no protection."""
    try:
        async with session.begin_nested():
            return (await session.execute(text(f"{statement} RETURNING 1"), values)).first() is not None
    except DBAPIError as error:
        state: str = error.orig.sqlstate  # type: ignore[union-attr]  # as asyncpg's adapter names it
        if state != DENIED and not state.startswith(CONSTRAINT_CLASS):
            raise
        return state != DENIED


async def the_owner_sees_its_own(ground: Ground) -> list[str]:
    """Rows in every table, and no others: where there are none, the probes below would see nothing either."""
    faults = []
    async with ground.api.tenant(ground.owner) as session:
        for table in ground.tables:
            seen = (await session.scalars(text(f"SELECT DISTINCT {table.key} FROM {table.name}"))).all()
            if seen != [ground.owner]:
                faults.append(f"{table.name}: rows of {'others' if seen else 'nobody'}")
    return faults


async def the_system_sees_all(ground: Ground) -> list[str]:
    """Sweepers and roll-ups."""
    own = "SELECT EXISTS (SELECT FROM {name} WHERE {key} = :owner)"
    async with ground.worker.system() as session:
        return [
            f"{table.name}: hidden from ignite_system"
            for table in ground.tables
            if not await session.scalar(text(own.format(name=table.name, key=table.key)), {"owner": ground.owner})
        ]


async def operators_see_what_they_operate(ground: Ground) -> list[str]:
    """Tenants, subscriptions and the audit; all the rest is refused, whatever the policies say."""
    faults = []
    async with undone_by_operator(ground.admin) as session:
        for table in ground.tables:
            if table.name not in OPERATED:
                if await sqlstate(session, f"SELECT 1 FROM {table.name}") != DENIED:
                    faults.append(f"{table.name}: read by ignite_operator")
                continue
            own = f"SELECT EXISTS (SELECT FROM {table.name} WHERE {table.key} = :owner)"
            if not await session.scalar(text(own), {"owner": ground.owner}):
                faults.append(f"{table.name}: hidden from ignite_operator")
    return faults


async def a_stranger_sees_and_changes_nothing(ground: Ground) -> list[str]:
    """With another tenant, and with none."""
    leaks = []
    for tenant_id in (new_id(), None):
        async with undone(ground.api, tenant_id) as session:
            for table in ground.tables:
                own = f"WHERE {table.key} = :owner"
                if await session.scalar(text(f"SELECT count(*) FROM {table.name}")):
                    leaks.append(f"{table.name}: read")
                update = f"UPDATE {table.name} SET {table.key} = {table.key} {own}"
                if await _reaches(session, update, owner=ground.owner):
                    leaks.append(f"{table.name}: changed")
                if await _reaches(session, f"DELETE FROM {table.name} {own}", owner=ground.owner):
                    leaks.append(f"{table.name}: deleted")
    return leaks


async def no_row_is_written_for_another(ground: Ground) -> list[str]:
    """By a tenant, and by nobody."""
    leaks = []
    for tenant_id in (new_id(), None):
        async with undone(ground.api, tenant_id) as session:
            for table in ground.tables:
                insert = f"INSERT INTO {table.name} ({table.key}) VALUES (:tenant)"
                if await sqlstate(session, insert, tenant=new_id()) != DENIED:
                    leaks.append(f"{table.name}: a row for another")
    return leaks


async def no_row_is_given_away(ground: Ground) -> list[str]:
    """Its own rows, to another tenant."""
    give = "UPDATE {name} SET {key} = :other"
    async with undone(ground.api, ground.owner) as session:
        return [
            f"{table.name}: rows given away"
            for table in ground.tables
            if await sqlstate(session, give.format(name=table.name, key=table.key), other=new_id()) != DENIED
        ]


async def the_search_holds_the_tenant(ground: Ground) -> list[str]:
    """The function reads past the policy of its caller; what its owner could not read, it would not leave out."""
    async with undone(ground.api, ground.owner) as session:
        row = (await session.execute(text(_A_CHUNK))).mappings().first()
        if row is None:
            return ["search: no chunk"]
        values = {name: row[name] for name in ("project_id", "terms", "lexical")}
        faults = [] if await _finds(session, values) == [row["id"]] else ["search: the owner's chunk is not found"]
        for value in ("", str(UUID(int=0))):
            await session.execute(text("SELECT set_config('app.tenant_id', :value, true)"), {"value": value})
            faults += [f"search: {value!r} finds a chunk" for _ in await _finds(session, values)]
        await session.execute(text("SELECT set_config('app.tenant_id', :value, true)"), {"value": str(ground.owner)})
        await session.execute(text("UPDATE documents SET hidden_at = now()"))
        faults += ["search: a hidden document is found" for _ in await _finds(session, values)]
    for stranger in (new_id(), None):
        async with ground.api.tenant(stranger) as session:
            faults += ["search: a stranger finds a chunk" for _ in await _finds(session, values)]
    return faults


async def _finds(session: AsyncSession, values: dict[str, object]) -> list[UUID]:
    return list(await session.scalars(text(_SEARCH), values))


Probe = Callable[[Ground], Awaitable[list[str]]]
PROBES: tuple[Probe, ...] = (
    the_owner_sees_its_own,
    the_system_sees_all,
    operators_see_what_they_operate,
    a_stranger_sees_and_changes_nothing,
    no_row_is_written_for_another,
    no_row_is_given_away,
    the_search_holds_the_tenant,
)
