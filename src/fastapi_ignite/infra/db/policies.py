"""Create the row-level security of a table, for migrations."""

from __future__ import annotations

from alembic import op

CURRENT_TENANT = "(SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid)"


EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"


def protect(table: str, *, key: str = "tenant_id", grant: str = EVERYTHING, system_grant: str = EVERYTHING) -> None:
    """Let `ignite_tenant` access the rows of one tenant, `ignite_system` all rows, and nobody else (nor the owner) any.

    NULLIF is needed because a setting of an ended transaction reads as '' and not as NULL.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} TO ignite_tenant "
        f"USING ({key} = {CURRENT_TENANT}) WITH CHECK ({key} = {CURRENT_TENANT})"
    )
    op.execute(f"CREATE POLICY system ON {table} TO ignite_system USING (true) WITH CHECK (true)")
    op.execute(f"GRANT {grant} ON {table} TO ignite_tenant")
    op.execute(f"GRANT {system_grant} ON {table} TO ignite_system")
