"""The row-level security policies of a migrated database, and the ways to damage each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_POLICIES = """
SELECT tablename, policyname, permissive, array_to_string(roles, ', ') AS roles, cmd, qual, with_check,
    has_table_privilege(roles[1], tablename::regclass, 'INSERT, UPDATE') AS writes
FROM pg_policies WHERE schemaname = 'public' ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as `pg_policies` shows it; `writes` says whether the role may write to the table."""

    table: str
    name: str
    kind: str
    roles: str
    command: str
    using: str
    check: str | None
    writes: bool

    @property
    def creation(self) -> str:
        check = f" WITH CHECK ({self.check})" if self.check else ""
        return (
            f"CREATE POLICY {self.name} ON {self.table} AS {self.kind} FOR {self.command} TO {self.roles} "
            f"USING ({self.using}){check}"
        )

    @property
    def drop(self) -> str:
        return f"DROP POLICY {self.name} ON {self.table}"

    def mutations(self) -> Iterator[str]:
        """Yield statements that each damage the policy.

        A policy that already allows every row is granted to the tenants' role instead.
        """
        alter = f"ALTER POLICY {self.name} ON {self.table}"
        yield self.drop
        if self.using == "true":
            yield f"{alter} TO {self.roles}, ignite_tenant"
        else:
            yield f"{alter} USING (true)"
            if self.writes:
                yield f"{alter} WITH CHECK (true)"


async def policies_of(connection: AsyncConnection) -> list[Policy]:
    """Return all policies, sorted by table and name."""
    return [Policy(*row) for row in await connection.execute(text(_POLICIES))]
