"""Every question asks which files of its project are hidden and still at the provider: few, of very many."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "withdrawn_files"
down_revision = "embedding_failures"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_provider_files_withdrawn",
        "provider_files",
        ["tenant_id", "project_id"],
        postgresql_where=sa.text("state = 'removing'"),
    )


def downgrade() -> None:
    op.drop_index("ix_provider_files_withdrawn", "provider_files")
