"""Stores that are gone at the provider are made again, and their files put into the new ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "store_rebuilds"
down_revision = "provider_waits"
branch_labels = None
depends_on = None


def _states(*states: str, made: str) -> None:
    for name in ("state", "provider_id"):
        op.drop_constraint(op.f(f"ck_provider_stores_{name}"), "provider_stores")
    listed = ", ".join(f"'{state}'" for state in states)
    op.create_check_constraint("state", "provider_stores", f"state IN ({listed})")
    op.create_check_constraint("provider_id", "provider_stores", f"(provider_id IS NOT NULL) = ({made})")


def upgrade() -> None:
    _states("creating", "ready", "lost", "filling", made="state IN ('ready', 'filling')")
    # the files that are there are attached; the owner could not update them under row-level security
    op.add_column("provider_files", sa.Column("attached", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.alter_column("provider_files", "attached", server_default=sa.text("false"))
    op.create_index(
        "ix_provider_stores_damaged",
        "provider_stores",
        ["lease_until"],
        postgresql_where=sa.text("state IN ('lost', 'filling')"),
    )
    op.create_index(
        "ix_provider_files_unattached",
        "provider_files",
        ["tenant_id", "project_id", "id"],
        postgresql_where=sa.text("state = 'ready' AND NOT attached"),
    )


def downgrade() -> None:
    op.drop_index("ix_provider_files_unattached", "provider_files")
    op.drop_column("provider_files", "attached")
    op.drop_index("ix_provider_stores_damaged", "provider_stores")
    # to the version before, a store that is being rebuilt is one that is gone: it says so instead of half an answer
    op.execute("ALTER TABLE provider_stores NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE provider_stores SET provider_id = 'vs_lost', state = 'ready', attempt = attempt + 1 "
        "WHERE state IN ('lost', 'filling')"
    )
    op.execute("ALTER TABLE provider_stores FORCE ROW LEVEL SECURITY")
    _states("creating", "ready", made="state = 'ready'")
