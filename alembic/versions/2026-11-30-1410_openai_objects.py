"""The vector stores and files that the OpenAI engine makes at the provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import protect

revision = "openai_objects"
down_revision = "conversations"
branch_labels = None
depends_on = None

PROJECT = (["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"])


def upgrade() -> None:
    provider_stores()
    provider_files()


def lease() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("provider_id", sa.Text()),
    )


def timestamps() -> tuple[sa.Column[object], sa.Column[object]]:
    return (
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def provider_stores() -> None:
    op.create_table(
        "provider_stores",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        *lease(),
        *timestamps(),
        sa.ForeignKeyConstraint(*PROJECT, ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('creating', 'ready', 'lost', 'filling')", name="state"),
        sa.CheckConstraint("(provider_id IS NOT NULL) = (state IN ('ready', 'filling'))", name="provider_id"),
    )
    op.create_index(
        "ix_provider_stores_damaged",
        "provider_stores",
        ["lease_until"],
        postgresql_where=sa.text("state IN ('lost', 'filling')"),
    )
    protect("provider_stores")


def provider_files() -> None:
    op.create_table(
        "provider_files",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid()),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        *lease(),
        sa.Column("attached", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *timestamps(),
        sa.ForeignKeyConstraint(*PROJECT, ondelete="CASCADE"),
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
    op.create_index(
        "ix_provider_files_unattached",
        "provider_files",
        ["tenant_id", "project_id", "id"],
        postgresql_where=sa.text("state = 'ready' AND NOT attached"),
    )
    # every question asks which files of its project are hidden and still at the provider: few, of very many
    op.create_index(
        "ix_provider_files_withdrawn",
        "provider_files",
        ["tenant_id", "project_id"],
        postgresql_where=sa.text("state = 'removing'"),
    )
    protect("provider_files")


def downgrade() -> None:
    for table in ("provider_files", "provider_stores"):
        op.drop_table(table)
