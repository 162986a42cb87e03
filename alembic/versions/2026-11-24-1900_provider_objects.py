"""What was made at a provider, and the tokens it counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "provider_objects"
down_revision = "billing_and_ledger"
branch_labels = None
depends_on = None


def _lease() -> list[sa.Column[object]]:
    return [
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("provider_id", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    ]


def _of_project() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "provider_stores",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        *_lease(),
        _of_project(),
        sa.CheckConstraint("(provider_id IS NOT NULL) = (state = 'ready')", name="provider_id"),
        sa.CheckConstraint("state IN ('creating', 'ready')", name="state"),
    )
    protect("provider_stores")
    op.create_table(
        "provider_files",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid()),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        *_lease(),
        _of_project(),
        sa.CheckConstraint("state IN ('working', 'ready', 'removing')", name="state"),
    )
    op.create_index(
        "uq_provider_files_live_sha256",
        "provider_files",
        ["tenant_id", "project_id", "sha256"],
        unique=True,
        postgresql_where=sa.text("state <> 'removing'"),
    )
    op.create_index("ix_provider_files_document", "provider_files", ["tenant_id", "document_id"])
    op.create_index("ix_provider_files_provider_id", "provider_files", ["tenant_id", "provider_id"])
    protect("provider_files")
    for column in ("tokens_cached", "tokens_reasoning"):
        op.add_column("messages", sa.Column(column, sa.Integer()))


def downgrade() -> None:
    for column in ("tokens_reasoning", "tokens_cached"):
        op.drop_column("messages", column)
    op.drop_table("provider_files")
    op.drop_table("provider_stores")
