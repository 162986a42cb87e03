"""Row-level security, written once. Called by migrations."""

from __future__ import annotations

from alembic import op

CURRENT_TENANT = "(SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid)"


EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"


def protect(table: str, *, key: str = "tenant_id", grant: str = EVERYTHING, system_grant: str = EVERYTHING) -> None:
    """One tenant's rows for `ignite_tenant`, all rows for `ignite_system`, none for anybody else, the owner included.

    After a transaction-local setting has ended PostgreSQL reads it as '', not NULL: hence the NULLIF.
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
