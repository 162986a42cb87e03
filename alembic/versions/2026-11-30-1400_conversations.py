"""Conversations and their messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from fastapi_ignite.infra.db.policies import protect

revision = "conversations"
down_revision = "local_search"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_conversations_tenant_id_project_id", "conversations", ["tenant_id", "project_id"])
    protect("conversations")
    op.create_table(
        "messages",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
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
        sa.Column("tokens_cached", sa.Integer()),
        sa.Column("tokens_reasoning", sa.Integer()),
        sa.Column("tokens_estimated", sa.Boolean()),
        sa.Column("truncated", sa.Boolean()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "conversation_id"], ["conversations.tenant_id", "conversations.id"], ondelete="CASCADE"
        ),
        sa.CheckConstraint("role IN ('user', 'assistant')", name="role"),
        sa.CheckConstraint("state IN ('pending', 'completed', 'failed', 'cancelled')", name="state"),
    )
    op.create_index("ix_messages_conversation", "messages", ["tenant_id", "conversation_id", "created_at"])
    op.create_index("ix_messages_pending", "messages", ["created_at"], postgresql_where=sa.text("state = 'pending'"))
    protect("messages")


def downgrade() -> None:
    for table in ("messages", "conversations"):
        op.drop_table(table)
