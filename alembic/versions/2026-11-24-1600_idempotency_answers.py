"""The first answer to a request with an Idempotency-Key is kept for those who want it again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "idempotency_answers"
down_revision = "access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("paid", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("idempotency_keys", sa.Column("answer_status", sa.SmallInteger()))
    op.add_column("idempotency_keys", sa.Column("answer", sa.LargeBinary()))


def downgrade() -> None:
    for column in ("answer", "answer_status", "paid"):
        op.drop_column("idempotency_keys", column)
