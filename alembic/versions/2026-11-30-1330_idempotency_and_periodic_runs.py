"""Requests with an Idempotency-Key, and when each periodic job last succeeded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "idempotency_and_periodic_runs"
down_revision = "access_and_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("route", sa.Text(), primary_key=True),
        sa.Column("key_sha256", sa.LargeBinary(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("paid", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("resource", sa.Text()),
        sa.Column("answer_status", sa.SmallInteger()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('in_progress', 'completed')", name="state"),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])
    protect("idempotency_keys")
    op.create_table(
        "periodic_runs",
        sa.Column("job", sa.Text(), primary_key=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True)),
        sa.Column("due_by", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("GRANT SELECT ON periodic_runs TO ignite_tenant")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON periodic_runs TO ignite_system")


def downgrade() -> None:
    for table in ("periodic_runs", "idempotency_keys"):
        op.drop_table(table)
