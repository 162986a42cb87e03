"""Tenant exports, and usage by month."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from fastapi_ignite.infra.db.policies import protect

revision = "exports_and_usage_months"
down_revision = "files_and_messages"
branch_labels = None
depends_on = None


def upgrade() -> None:
    exports()
    usage_months()


def exports() -> None:
    op.create_table(
        "exports",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("last_error", JSONB()),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("include_files", sa.Boolean(), nullable=False),
        sa.Column("storage_key", sa.Text()),
        sa.Column("byte_count", sa.BigInteger()),
        sa.Column("sha256", sa.LargeBinary()),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
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


def usage_months() -> None:
    op.add_column(
        "usage_daily",
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("ix_usage_daily_updated_at", "usage_daily", ["updated_at"])
    op.create_table(
        "usage_monthly",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("metric", sa.Text(), primary_key=True),
        sa.Column("month", sa.Date(), primary_key=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
    )
    protect("usage_monthly", grant="SELECT")
    op.create_table(
        "usage_watermarks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("reached", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON usage_watermarks TO ignite_system")


def downgrade() -> None:
    for table in ("usage_watermarks", "usage_monthly"):
        op.drop_table(table)
    op.drop_column("usage_daily", "updated_at")
    op.drop_table("exports")
