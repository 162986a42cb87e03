"""How often in a row a document could not be embedded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "embedding_failures"
down_revision = "store_rebuilds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("embedding_failures", sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("documents", "embedding_failures")
