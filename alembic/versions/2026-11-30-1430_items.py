"""The demo items, with a trigram index for their search where the server offers pg_trgm."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "items"
down_revision = "tenant_exports"
branch_labels = None
depends_on = None

# The extension may stand in a schema that is not on the search path. Owners without the right to create it lose
# nothing but the index: the search then reads the table.
TRIGRAM_INDEX = """
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
    op.create_table(
        "items",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("ix_items_created_at_id", "items", ["created_at", "id"])
    op.execute(TRIGRAM_INDEX)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON items TO ignite_tenant, ignite_system")


def downgrade() -> None:
    """The extension stays: others in the database may use it."""
    op.drop_table("items")
