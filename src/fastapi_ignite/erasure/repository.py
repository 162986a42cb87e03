"""Reads whether a tenant has a whole archive, and deletes the rows that the tenant has in any table.

The tables come from the catalogue of the database, so a new table of tenants is erased without a change here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Exports are a feature beside this one, so their tables are known here by their names only. What was asked and what is
# audited changes what an archive would hold; ids are in the order of time.
_NEWEST_ARCHIVE = text("""
SELECT e.id,
    EXISTS (
        SELECT FROM audit_events AS a
        WHERE a.tenant_id = e.tenant_id AND a.action = 'export.downloaded' AND a.target = CAST(e.id AS text)
    ) AS is_downloaded
FROM exports AS e
WHERE e.tenant_id = :tenant_id AND e.state = 'completed' AND e.include_files AND e.expires_at > now()
    AND NOT EXISTS (
        SELECT FROM audit_events AS a
        WHERE a.tenant_id = :tenant_id AND a.id > e.id AND a.action NOT LIKE 'export.%'
    )
    AND NOT EXISTS (SELECT FROM messages AS m WHERE m.tenant_id = :tenant_id AND m.id > e.id)
ORDER BY is_downloaded DESC, e.id DESC LIMIT 1
""")
_END_EXPORTS = text("""
UPDATE exports SET state = 'failed', attempt = attempt + 1, lease_until = NULL, updated_at = now()
WHERE tenant_id = :tenant_id AND state IN ('queued', 'running')
""")
_HIDE_PROJECTS = text("""
UPDATE projects SET deleted_at = now(), name = ' ' || id WHERE tenant_id = :tenant_id AND deleted_at IS NULL
""")
_A_PROJECT = text("SELECT id FROM projects WHERE tenant_id = :tenant_id ORDER BY id LIMIT 1")
_DELETE_EXPORTS = text("""
DELETE FROM exports WHERE tenant_id = :tenant_id RETURNING coalesce(byte_count, 0) AS byte_count
""")
_DELETE_OTHER_RECEIPTS = text("DELETE FROM deletions WHERE tenant_id = :tenant_id AND id <> :tenant_id RETURNING id")
_DELETE_TENANT = text("DELETE FROM tenants WHERE id = :tenant_id RETURNING id")
_TABLES = text("""
SELECT quote_ident(c.relname) AS name FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relnamespace = CAST('public' AS regnamespace) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname
""")
_REFERENCES = text("""
SELECT DISTINCT quote_ident(child.relname) AS child, quote_ident(parent.relname) AS parent FROM pg_constraint AS k
JOIN pg_class AS child ON child.oid = k.conrelid JOIN pg_class AS parent ON parent.oid = k.confrelid
WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
""")
# Tables that need more than a DELETE by the system: see `erase_events`, `erase_ledger` and `_DELETE_OTHER_RECEIPTS`.
_EVENTS, _LEDGER, _RECEIPTS = "audit_events", "usage_ledger", "deletions"
_ERASE_LEDGER = text("SELECT erase_ledger(:tenant_id, :row_limit)")


@dataclass(frozen=True, slots=True)
class WholeArchive:
    """An export that holds everything of now, as far as the audit and the questions tell."""

    export_id: UUID
    is_downloaded: bool


class ErasureRepo:
    """The rows of one tenant that is erased. It needs a system transaction, but for what is said otherwise."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._values: dict[str, Any] = {"tenant_id": tenant_id}

    async def whole_archive(self) -> WholeArchive | None:
        """Return the archive with uploads that was requested after every change, a downloaded one first, or None.

        It works in a transaction of the tenant.
        """
        row = (await self._session.execute(_NEWEST_ARCHIVE, self._values)).one_or_none()
        return WholeArchive(row.id, row.is_downloaded) if row else None

    async def end_exports(self) -> None:
        """End exports in progress; their workers stop. It works in a transaction of the tenant."""
        await self._session.execute(_END_EXPORTS, self._values)

    async def hide_projects(self) -> None:
        """Hide projects that were made while the tenant was closed."""
        await self._session.execute(_HIDE_PROJECTS, self._values)

    async def next_project(self) -> UUID | None:
        """Return a project of the tenant, or None."""
        project_id: UUID | None = await self._session.scalar(_A_PROJECT, self._values)
        return project_id

    async def delete_exports(self) -> Sequence[int]:
        """Delete all exports, and return the sizes of their archives."""
        return (await self._session.scalars(_DELETE_EXPORTS, self._values)).all()

    async def delete_some(self, table: str, limit: int) -> int:
        """Delete some rows of a table that `tables_of_tenants` has returned, and return how many."""
        if table == _LEDGER:
            return int(await self._session.scalar(_ERASE_LEDGER, {**self._values, "row_limit": limit}) or 0)
        if table == _RECEIPTS:
            return len((await self._session.scalars(_DELETE_OTHER_RECEIPTS, self._values)).all())
        # the lock returns the newest version of a row that another transaction has just changed
        statement = text(f"""
            WITH batch AS MATERIALIZED (
                SELECT ctid FROM {table} WHERE tenant_id = :tenant_id LIMIT :row_limit FOR UPDATE
            ), deleted AS (
                DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM batch) RETURNING 1
            )
            SELECT count(*) FROM deleted
        """)  # noqa: S608  the catalogue names the table
        return int(await self._session.scalar(statement, {**self._values, "row_limit": limit}) or 0)

    async def delete_tenant(self) -> bool:
        """Delete the row of the tenant, and with it what was written meanwhile. Return False without one."""
        return (await self._session.execute(_DELETE_TENANT, self._values)).first() is not None


async def tables_of_tenants(session: AsyncSession) -> list[str]:
    """Return the tables with rows of tenants, each before those that it refers to. The audit has its own rules."""
    names = [row.name for row in await session.execute(_TABLES)]
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(names, ()))
    for row in await session.execute(_REFERENCES):
        order.add(row.parent, row.child)
    return [name for name in order.static_order() if name in names and name != _EVENTS]


async def tenants_with_leftovers(session: AsyncSession) -> set[UUID]:
    """Return erased tenants that have rows again, or events that their erasure has not seen.

    A request that was under way for longer than the erasure could write them. It needs a system transaction.
    """
    erased = "SELECT d.tenant_id FROM deletions AS d WHERE d.kind = 'tenant' AND d.state = 'completed' AND EXISTS ("
    found: set[UUID] = set()
    for table in [*await tables_of_tenants(session), "tenants"]:
        own = "t.id = d.tenant_id" if table == "tenants" else "t.tenant_id = d.tenant_id"
        receipt = " AND t.id <> d.tenant_id" if table == _RECEIPTS else ""
        found |= set(await session.scalars(text(f"{erased}SELECT FROM {table} AS t WHERE {own}{receipt})")))
    unseen = f"{erased}SELECT FROM audit_events AS t WHERE t.tenant_id = d.tenant_id AND NOT is_clean_event(t))"
    return found | set(await session.scalars(text(unseen)))
