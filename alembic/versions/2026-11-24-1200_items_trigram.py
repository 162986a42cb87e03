"""A trigram index for the search of items, where the server offers pg_trgm; without it the search reads the table."""

from __future__ import annotations

from alembic import op

revision = "items_trigram"
down_revision = "exports_and_usage_months"
branch_labels = None
depends_on = None

# The extension may stand in a schema that is not on the search path. Owners without the right to create it lose
# nothing but the index.
CREATE_INDEX = """
DO $$
DECLARE
    place text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        RETURN;
    END IF;
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'no right to create pg_trgm: the search of items goes without an index';
        RETURN;
    END;
    SELECT quote_ident(nspname) INTO place
        FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm';
    EXECUTE format(
        'CREATE INDEX ix_items_trigram ON items USING gin (name %1$s.gin_trgm_ops, description %1$s.gin_trgm_ops)',
        place
    );
END
$$
"""


def upgrade() -> None:
    op.execute(CREATE_INDEX)


def downgrade() -> None:
    """The extension stays: others in the database may use it."""
    op.execute("DROP INDEX IF EXISTS ix_items_trigram")
