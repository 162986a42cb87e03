"""Documents, uploaded files, and what each tenant stores and queues, which triggers count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from fastapi_ignite.infra.db.policies import protect

revision = "documents_and_files"
down_revision = "idempotency_and_periodic_runs"
branch_labels = None
depends_on = None

PROJECT = (["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"])
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


def upgrade() -> None:
    documents()
    files()
    storage_usage()


def documents() -> None:
    op.create_table(
        "documents",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("char_count", sa.BigInteger(), nullable=False),
        sa.Column("page_starts", ARRAY(sa.Integer())),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("unembedded_count", sa.Integer(), nullable=False),
        sa.Column("embedding_lease_until", sa.DateTime(timezone=True)),
        sa.Column("embedding_failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("hidden_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(*PROJECT, ondelete="CASCADE"),
    )
    op.create_index(
        "uq_documents_visible_sha256",
        "documents",
        ["tenant_id", "project_id", "sha256"],
        unique=True,
        postgresql_where=sa.text("hidden_at IS NULL"),
    )
    op.create_index(
        "ix_documents_hidden",
        "documents",
        ["tenant_id", "project_id"],
        postgresql_where=sa.text("hidden_at IS NOT NULL"),
    )
    op.create_index(
        "ix_documents_unembedded",
        "documents",
        ["created_at", "id"],
        postgresql_where=sa.text("hidden_at IS NULL AND unembedded_count > 0"),
    )
    protect("documents")


def files() -> None:
    op.create_table(
        "files",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        # the storage lists its objects in the order of their bytes, and so must the rows come that are compared with it
        sa.Column("storage_key", sa.Text(collation="C")),
        sa.Column("bytes_missing_at", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waits", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("last_error", JSONB()),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("char_count", sa.BigInteger()),
        sa.Column("document_id", sa.Uuid()),
        sa.Column("deduplicated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reservation_id", sa.Uuid()),
        sa.Column("delete_raw", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("receipt", JSONB()),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(*PROJECT, ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"]),
        sa.CheckConstraint(
            "state IN ('queued', 'extracting', 'chunking', 'indexing', 'completed', 'failed', 'cancelled', "
            "'deleting', 'deleted')",
            name="state",
        ),
    )
    op.create_index("ix_files_project", "files", ["tenant_id", "project_id", "id"])
    op.create_index("ix_files_batch", "files", ["tenant_id", "batch_id"])
    op.create_index("ix_files_document", "files", ["tenant_id", "document_id"])
    op.create_index(
        "ix_files_unfinished",
        "files",
        ["lease_until"],
        postgresql_where=sa.text("state IN ('queued', 'extracting', 'chunking', 'indexing', 'deleting')"),
    )
    op.create_index(
        "ix_files_storage_key", "files", ["storage_key"], postgresql_where=sa.text("storage_key IS NOT NULL")
    )
    op.create_index(
        "ix_files_waiting", "files", ["tenant_id", "id"], postgresql_where=sa.text(f"state IN {UNFINISHED}")
    )
    protect("files")


def storage_usage() -> None:
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
    protect("storage_usage")
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
    protect("uploads")
    op.create_table(
        "sweep_positions",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON sweep_positions TO ignite_system")
    op.execute(COUNT_FILES)
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    for table in ("sweep_positions", "uploads", "storage_usage", "files", "documents"):
        op.drop_table(table)
    op.execute("DROP FUNCTION count_stored_files()")
