"""Receipts of deletions, names and metadata of projects, and policies that hide what belongs to a deleted project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from fastapi_ignite.infra.db.policies import protect, rows_open_to_owner

revision = "deletions"
down_revision = "feedback_on_answers"
branch_labels = None
depends_on = None

# The list is read once for each statement, by an index that is nearly always empty.
OF_NO_DELETED_PROJECT = "project_id <> ALL (ARRAY(SELECT p.id FROM projects AS p WHERE p.deleted_at IS NOT NULL))"
OF_VISIBLE_CONVERSATION = (
    "EXISTS (SELECT FROM conversations AS c WHERE c.tenant_id = messages.tenant_id AND c.id = messages.conversation_id)"
)
HIDDEN = {
    "files": OF_NO_DELETED_PROJECT,
    "documents": OF_NO_DELETED_PROJECT,
    "conversations": OF_NO_DELETED_PROJECT,
    "messages": OF_VISIBLE_CONVERSATION,
}
MOVE_RECEIPTS = """
INSERT INTO deletions (
    tenant_id, id, kind, project_id, document_id, state, notified_at, lease_until, attempt, last_error, files, chunks,
    bytes, provider_objects, provider_ids, created_at, completed_at
)
SELECT tenant_id, id, 'file', project_id, CAST(receipt ->> 'document_id' AS uuid),
    CASE state WHEN 'deleting' THEN 'in_progress' ELSE 'completed' END, notified_at, lease_until, attempt,
    last_error, 1,
    coalesce(CAST(receipt ->> 'chunks_removed' AS bigint), 0),
    CASE WHEN CAST(receipt ->> 'raw_removed' AS boolean) THEN byte_count ELSE 0 END,
    jsonb_array_length(coalesce(receipt -> 'provider_ids_removed', '[]')),
    ARRAY(SELECT jsonb_array_elements_text(coalesce(receipt -> 'provider_ids_removed', '[]'))),
    coalesce(deleted_at, updated_at), deleted_at
FROM files WHERE state IN ('deleting', 'deleted')
"""


def upgrade() -> None:
    op.add_column("projects", sa.Column("metadata", JSONB(), server_default="{}", nullable=False))
    op.add_column("projects", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_projects_deleted", "projects", ["tenant_id"], postgresql_where=sa.text("deleted_at IS NOT NULL")
    )
    deletions()
    with rows_open_to_owner("files"):
        op.execute(MOVE_RECEIPTS)
    protect("deletions", grant="SELECT, INSERT, UPDATE")
    for table, condition in HIDDEN.items():
        op.execute(f"CREATE POLICY hidden ON {table} AS RESTRICTIVE TO ignite_tenant USING ({condition})")


def deletions() -> None:
    """No foreign key: a receipt outlives what it is about."""
    op.create_table(
        "deletions",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("document_id", sa.Uuid()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("last_error", JSONB()),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("files", "chunks", "bytes", "conversations", "messages", "provider_objects")
        ),
        sa.Column("provider_ids", ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("kind IN ('file', 'project')", name="kind"),
        sa.CheckConstraint("state IN ('in_progress', 'completed')", name="state"),
    )
    op.create_index(
        "ix_deletions_unfinished", "deletions", ["lease_until"], postgresql_where=sa.text("state = 'in_progress'")
    )


def downgrade() -> None:
    """Projects that are being deleted get the rest of their deletion done by the foreign keys."""
    for table in HIDDEN:
        op.execute(f"DROP POLICY hidden ON {table}")
    with rows_open_to_owner("projects", "files"):
        op.drop_table("deletions")
        op.execute("DELETE FROM projects WHERE deleted_at IS NOT NULL")
    op.drop_index("ix_projects_deleted", "projects")
    op.drop_column("projects", "deleted_at")
    op.drop_column("projects", "metadata")
