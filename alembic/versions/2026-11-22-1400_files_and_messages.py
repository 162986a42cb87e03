"""Uploaded files, conversations and messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from fastapi_ignite.infra.db.policies import protect

revision = "files_and_messages"
down_revision = "local_engine"
branch_labels = None
depends_on = None

PROJECT = ["projects.tenant_id", "projects.id"]


def columns() -> tuple[sa.Column[object], ...]:
    """Key and timestamps, fresh for each table."""
    return (
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "files",
        *columns(),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("storage_key", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("last_error", JSONB()),
        sa.Column("char_count", sa.BigInteger()),
        sa.Column("document_id", sa.Uuid()),
        sa.Column("deduplicated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reservation_id", sa.Uuid()),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_raw", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("receipt", JSONB()),
        sa.ForeignKeyConstraint(["tenant_id", "project_id"], PROJECT, ondelete="CASCADE"),
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
    protect("files")
    op.create_table(
        "conversations",
        *columns(),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "project_id"], PROJECT, ondelete="CASCADE"),
    )
    op.create_index("ix_conversations_tenant_id_project_id", "conversations", ["tenant_id", "project_id"])
    protect("conversations")
    op.create_table(
        "messages",
        *columns(),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Uuid()),
        sa.Column("reservation_id", sa.Uuid()),
        sa.Column("engine", sa.Text()),
        sa.Column("answerable", sa.Boolean()),
        sa.Column("citations", JSONB()),
        sa.Column("tokens_in", sa.Integer()),
        sa.Column("tokens_out", sa.Integer()),
        sa.ForeignKeyConstraint(
            ["tenant_id", "conversation_id"], ["conversations.tenant_id", "conversations.id"], ondelete="CASCADE"
        ),
        sa.CheckConstraint("role IN ('user', 'assistant')", name="role"),
        sa.CheckConstraint("state IN ('pending', 'completed', 'failed')", name="state"),
    )
    op.create_index("ix_messages_conversation", "messages", ["tenant_id", "conversation_id", "created_at"])
    op.create_index("ix_messages_pending", "messages", ["created_at"], postgresql_where=sa.text("state = 'pending'"))
    protect("messages")


def downgrade() -> None:
    for table in ("messages", "conversations", "files"):
        op.drop_table(table)
