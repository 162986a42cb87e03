"""Waiting for a provider is none of a file's tries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "provider_waits"
down_revision = "question_costs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("waits", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.drop_column("files", "waits")
