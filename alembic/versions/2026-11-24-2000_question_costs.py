"""What a question cost that got no answer, and an answer that was cut."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "question_costs"
down_revision = "provider_objects"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("tokens_estimated", "truncated"):
        op.add_column("messages", sa.Column(column, sa.Boolean()))
    op.drop_constraint("state", "messages", type_="check")
    op.create_check_constraint("state", "messages", "state IN ('pending', 'completed', 'failed', 'cancelled')")


def downgrade() -> None:
    op.drop_constraint("state", "messages", type_="check")
    # the owner is no member of the roles that see rows, and FORCE holds it too
    op.execute("ALTER TABLE messages NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE messages SET state = 'failed' WHERE state = 'cancelled'")
    op.execute("ALTER TABLE messages FORCE ROW LEVEL SECURITY")
    op.create_check_constraint("state", "messages", "state IN ('pending', 'completed', 'failed')")
    for column in ("truncated", "tokens_estimated"):
        op.drop_column("messages", column)
