"""The fair queue looks up the oldest waiting file of each tenant; a file remembers the request that brought it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "waiting_files"
down_revision = "storage_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("request_id", sa.Text()))
    op.create_index(
        "ix_files_waiting",
        "files",
        ["tenant_id", "id"],
        postgresql_where=sa.text("state IN ('queued', 'extracting', 'chunking', 'indexing')"),
    )


def downgrade() -> None:
    op.drop_index("ix_files_waiting", "files")
    op.drop_column("files", "request_id")
