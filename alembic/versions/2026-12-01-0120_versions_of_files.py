"""Versions of files: rows of the same table, which callers see as the history of a file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from fastapi_ignite.infra.db.policies import rows_open_to_owner

revision = "versions_of_files"
down_revision = "attributes_of_files"
branch_labels = None
depends_on = None

TRIGGER = """
CREATE TRIGGER mark_changed BEFORE UPDATE ON files FOR EACH ROW
WHEN (
    OLD.state <> NEW.state OR OLD.last_error IS DISTINCT FROM NEW.last_error OR OLD.attributes <> NEW.attributes{more}
)
EXECUTE FUNCTION mark_changed_file()
"""
IS_VERSION = sa.text("version_of IS NOT NULL")
IS_PENDING = sa.text("version_of IS NOT NULL AND state NOT IN ('deleting', 'deleted')")


def upgrade() -> None:
    for name in ("version", "latest_version"):
        op.add_column("files", sa.Column(name, sa.Integer(), server_default="1", nullable=False))
    # no foreign key: a project is deleted in batches of its files, and a version's object has to go before its row
    op.add_column("files", sa.Column("version_of", sa.Uuid()))
    op.add_column("files", sa.Column("uploaded_by", JSONB()))
    op.add_column("files", sa.Column("replaced_at", sa.DateTime(timezone=True)))
    op.add_column("files", sa.Column("uploaded_at", sa.DateTime(timezone=True)))
    with rows_open_to_owner("files"):
        op.execute("UPDATE files SET uploaded_at = created_at")
    op.alter_column("files", "uploaded_at", server_default=sa.func.now(), nullable=False)
    op.create_index("ix_files_versions", "files", ["tenant_id", "version_of", "version"], postgresql_where=IS_VERSION)
    op.create_index(
        "uq_files_pending_version", "files", ["tenant_id", "version_of"], unique=True, postgresql_where=IS_PENDING
    )
    op.execute("DROP TRIGGER mark_changed ON files")
    op.execute(TRIGGER.format(more=" OR OLD.version <> NEW.version"))


def downgrade() -> None:
    """Pending and earlier versions are forgotten; the sweep of the storage removes their bytes."""
    op.execute("DROP TRIGGER mark_changed ON files")
    op.execute(TRIGGER.format(more=""))
    with rows_open_to_owner("files", "storage_usage"):  # a trigger counts what is deleted
        op.execute("DELETE FROM files WHERE version_of IS NOT NULL")
    op.drop_index("uq_files_pending_version", "files")
    op.drop_index("ix_files_versions", "files")
    for column in ("uploaded_at", "replaced_at", "uploaded_by", "version_of", "latest_version", "version"):
        op.drop_column("files", column)
