"""What each tenant stores and queues is counted as it changes, and uploads in progress hold their part of the caps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "storage_usage"
down_revision = "withdrawn_files"
branch_labels = None
depends_on = None

UNFINISHED = "('queued', 'extracting', 'chunking', 'indexing')"

# Whatever changes a file changes the figures with it, in the same transaction: no code path can forget to.
COUNT_FILES = f"""
CREATE FUNCTION count_stored_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO storage_usage AS u (tenant_id, stored_bytes, unfinished_files)
        SELECT tenant_id,
            coalesce(sum(byte_count) FILTER (WHERE storage_key IS NOT NULL AND bytes_missing_at IS NULL), 0),
            count(*) FILTER (WHERE state IN {UNFINISHED})
        FROM inserted GROUP BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE
        SET stored_bytes = u.stored_bytes + excluded.stored_bytes,
            unfinished_files = u.unfinished_files + excluded.unfinished_files;
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE storage_usage AS u
        SET stored_bytes = u.stored_bytes - gone.stored_bytes,
            unfinished_files = u.unfinished_files - gone.unfinished_files
        FROM (
            SELECT tenant_id,
                coalesce(sum(byte_count) FILTER (WHERE storage_key IS NOT NULL AND bytes_missing_at IS NULL), 0)
                    AS stored_bytes,
                count(*) FILTER (WHERE state IN {UNFINISHED}) AS unfinished_files
            FROM deleted GROUP BY tenant_id
        ) AS gone
        WHERE u.tenant_id = gone.tenant_id;
    ELSE
        UPDATE storage_usage
        SET stored_bytes = stored_bytes
                - CASE WHEN OLD.storage_key IS NOT NULL AND OLD.bytes_missing_at IS NULL THEN OLD.byte_count ELSE 0 END
                + CASE WHEN NEW.storage_key IS NOT NULL AND NEW.bytes_missing_at IS NULL THEN NEW.byte_count ELSE 0 END,
            unfinished_files = unfinished_files
                - CAST(OLD.state IN {UNFINISHED} AS integer) + CAST(NEW.state IN {UNFINISHED} AS integer)
        WHERE tenant_id = NEW.tenant_id;
    END IF;
    RETURN NULL;
END $$
"""  # noqa: S608  all parts are constants

TRIGGERS = (
    """
    CREATE TRIGGER count_added AFTER INSERT ON files REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION count_stored_files()
    """,
    """
    CREATE TRIGGER count_removed AFTER DELETE ON files REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION count_stored_files()
    """,
    f"""
    CREATE TRIGGER count_changed AFTER UPDATE OF state, storage_key, bytes_missing_at, byte_count ON files
    FOR EACH ROW WHEN (
        OLD.state IN {UNFINISHED} <> (NEW.state IN {UNFINISHED})
        OR OLD.storage_key IS DISTINCT FROM NEW.storage_key
        OR OLD.bytes_missing_at IS DISTINCT FROM NEW.bytes_missing_at
        OR OLD.byte_count <> NEW.byte_count
    ) EXECUTE FUNCTION count_stored_files()
    """,
)

# after the triggers were made: they keep writers out until this transaction ends
COUNT_WHAT_IS_THERE = f"""
INSERT INTO storage_usage (tenant_id, stored_bytes, unfinished_files)
SELECT tenant_id, coalesce(sum(byte_count) FILTER (WHERE storage_key IS NOT NULL), 0),
    count(*) FILTER (WHERE state IN {UNFINISHED})
FROM files GROUP BY tenant_id
"""  # noqa: S608  all parts are constants


def upgrade() -> None:
    op.create_table(
        "storage_usage",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("stored_bytes", "unfinished_files", "reserved_bytes", "reserved_files")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.CheckConstraint("stored_bytes >= 0 AND unfinished_files >= 0", name="counted"),
        sa.CheckConstraint("reserved_bytes >= 0 AND reserved_files >= 0", name="reserved"),
    )
    op.create_table(
        "uploads",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("reserved_bytes", sa.BigInteger(), nullable=False),
        sa.Column("reserved_files", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_uploads_lease_until", "uploads", ["lease_until"])
    op.create_table(
        "sweep_positions",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON sweep_positions TO ignite_system")
    for table in ("storage_usage", "uploads"):
        protect(table)
    count_files()


def count_files() -> None:
    op.add_column("files", sa.Column("bytes_missing_at", sa.DateTime(timezone=True)))
    # the storage lists its objects in the order of their bytes, and so must the rows come that are compared with it
    op.execute('ALTER TABLE files ALTER COLUMN storage_key TYPE text COLLATE "C"')
    op.create_index(
        "ix_files_storage_key", "files", ["storage_key"], postgresql_where=sa.text("storage_key IS NOT NULL")
    )
    op.execute(COUNT_FILES)
    for trigger in TRIGGERS:
        op.execute(trigger)
    for table in ("files", "storage_usage"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(COUNT_WHAT_IS_THERE)
    for table in ("files", "storage_usage"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    for trigger in ("count_added", "count_removed", "count_changed"):
        op.execute(f"DROP TRIGGER {trigger} ON files")
    op.execute("DROP FUNCTION count_stored_files()")
    op.drop_index("ix_files_storage_key", "files")
    op.execute('ALTER TABLE files ALTER COLUMN storage_key TYPE text COLLATE "default"')
    op.drop_column("files", "bytes_missing_at")
    for table in ("sweep_positions", "uploads", "storage_usage"):
        op.drop_table(table)
