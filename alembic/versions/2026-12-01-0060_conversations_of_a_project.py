"""The index that gives a page of the conversations about one project in order."""

from __future__ import annotations

from alembic import op

revision = "conversations_of_a_project"
down_revision = "changes_of_files"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_conversations_project", "conversations", ["tenant_id", "project_id", "id"])
    op.drop_index("ix_conversations_tenant_id_project_id")


def downgrade() -> None:
    op.create_index("ix_conversations_tenant_id_project_id", "conversations", ["tenant_id", "project_id"])
    op.drop_index("ix_conversations_project")
