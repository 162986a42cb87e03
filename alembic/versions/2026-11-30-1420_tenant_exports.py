"""Exports of all that a tenant has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from fastapi_ignite.infra.db.policies import protect

revision = "tenant_exports"
down_revision = "openai_objects"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("include_files", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("last_error", JSONB()),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("storage_key", sa.Text()),
        sa.Column("byte_count", sa.BigInteger()),
        sa.Column("sha256", sa.LargeBinary()),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('queued', 'running', 'completed', 'failed', 'expired')", name="state"),
    )
    op.create_index(
        "uq_exports_running",
        "exports",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index(
        "ix_exports_unfinished",
        "exports",
        ["lease_until"],
        postgresql_where=sa.text("state IN ('queued', 'running', 'expired')"),
    )
    op.create_index(
        "ix_exports_expires_at",
        "exports",
        ["expires_at"],
        postgresql_where=sa.text("state IN ('completed', 'failed')"),
    )
    protect("exports")


def downgrade() -> None:
    op.drop_table("exports")
