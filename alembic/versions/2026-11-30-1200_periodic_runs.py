"""When each periodic job last succeeded, so that readiness can tell a scheduler that hangs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "periodic_runs"
down_revision = "waiting_files"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "periodic_runs",
        sa.Column("job", sa.Text(), primary_key=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True)),
        sa.Column("due_by", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("GRANT SELECT ON periodic_runs TO ignite_tenant")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON periodic_runs TO ignite_system")


def downgrade() -> None:
    op.drop_table("periodic_runs")
