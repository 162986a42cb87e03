"""When files changed, for streams of their changes; and what a retry of a file needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fastapi_ignite.infra.db.policies import rows_open_to_owner

revision = "changes_of_files"
down_revision = "retention"
branch_labels = None
depends_on = None

# The id of the transaction that changed what callers see. Unlike a time, it can be compared with a snapshot, so that a
# change that is committed late is not missed. Extending a lease is no change, and leaves the index alone.
CURRENT_TRANSACTION = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
MARK_CHANGE = f"""
CREATE FUNCTION mark_changed_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_by := {CURRENT_TRANSACTION};
    RETURN NEW;
END $$
"""
TRIGGER = """
CREATE TRIGGER mark_changed BEFORE UPDATE ON files FOR EACH ROW
WHEN (OLD.state <> NEW.state OR OLD.last_error IS DISTINCT FROM NEW.last_error)
EXECUTE FUNCTION mark_changed_file()
"""


def upgrade() -> None:
    op.add_column("files", sa.Column("changed_by", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column("files", "changed_by", server_default=sa.text(CURRENT_TRANSACTION))
    op.create_index("ix_files_changed", "files", ["tenant_id", "project_id", "changed_by"])
    op.execute(MARK_CHANGE)
    op.execute(TRIGGER)
    op.add_column("files", sa.Column("attempts_before", sa.Integer(), server_default="0", nullable=False))
    op.add_column("files", sa.Column("queued_at", sa.DateTime(timezone=True)))
    with rows_open_to_owner("files"):
        op.execute("UPDATE files SET queued_at = created_at")
    op.alter_column("files", "queued_at", server_default=sa.func.now(), nullable=False)


def downgrade() -> None:
    op.execute("DROP TRIGGER mark_changed ON files")
    op.execute("DROP FUNCTION mark_changed_file()")
    op.drop_index("ix_files_changed", "files")
    for column in ("queued_at", "attempts_before", "changed_by"):
        op.drop_column("files", column)
