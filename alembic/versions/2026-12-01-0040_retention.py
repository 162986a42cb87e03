"""The index by which old reservations are found."""

from __future__ import annotations

from alembic import op

revision = "retention"
down_revision = "deletions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_usage_reservations_created_at", "usage_reservations", ["created_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_usage_reservations_created_at")
