"""Create the row-level security of a table, and functions that go past it for one purpose, for migrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from alembic import op

CURRENT_TENANT = "(SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid)"


EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"
_PROVIDE_ROLE = """
DO $$
BEGIN
    BEGIN
        CREATE ROLE {role} NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        -- roles belong to the server: another database of it made this one
        NULL;
    END;
    IF NOT pg_has_role(CURRENT_USER, '{role}', 'SET') THEN
        -- who made a role may grant it, and must hold it to give a function to it
        GRANT {role} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE;
    END IF;
EXCEPTION WHEN unique_violation THEN
    NULL;
END
$$
"""


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


@contextmanager
def rows_open_to_owner(*tables: str) -> Iterator[None]:
    """Let migrations read and change rows. No policy admits the owner, so without this they would find none."""
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    yield
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def provide_definer(role: str) -> None:
    """Create the role that owns functions and that nobody can log in as, unless the server has it."""
    op.execute(_PROVIDE_ROLE.format(role=role))


def give_functions(role: str, signatures: Mapping[str, str]) -> None:
    """Let functions run with the rights of `role`. `signatures` names for each the only role that may call it."""
    # whoever is to own a function must be able to create one at that moment
    op.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
    for signature, caller in signatures.items():
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {caller}")
        op.execute(f"ALTER FUNCTION {signature} OWNER TO {role}")
    op.execute(f"REVOKE CREATE ON SCHEMA public FROM {role}")


def drop_functions(role: str, signatures: Iterable[str]) -> None:
    """Drop functions that were given to `role`. The role stays, because it belongs to the whole server."""
    op.execute(f"SET LOCAL ROLE {role}")
    for signature in signatures:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("RESET ROLE")
