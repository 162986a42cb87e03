"""The structure of documents: the spans of their text, and what each chunk must know of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "structure_of_documents"
down_revision = "items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows that are there already have none of it, and work as before."""
    op.add_column("documents", sa.Column("spans", JSONB()))
    op.add_column("chunks", sa.Column("context", sa.Text()))
    op.add_column("chunks", sa.Column("surroundings", JSONB()))


def downgrade() -> None:
    op.drop_column("chunks", "surroundings")
    op.drop_column("chunks", "context")
    op.drop_column("documents", "spans")
