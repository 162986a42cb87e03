"""Feedback of readers on answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "feedback_on_answers"
down_revision = "tenant_access_notices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("feedback_rating", sa.Text()))
    op.add_column("messages", sa.Column("feedback_comment", sa.Text()))
    op.add_column("messages", sa.Column("feedback_at", sa.DateTime(timezone=True)))
    op.create_check_constraint("feedback_rating", "messages", "feedback_rating IN ('up', 'down')")


def downgrade() -> None:
    for column in ("feedback_at", "feedback_comment", "feedback_rating"):
        op.drop_column("messages", column)
