"""The lexical search never reads the table of all tenants' chunks, whatever the planner knows of a young one.

The terms it is given are bounded in their number of chunks, so their index is always the cheaper way.
"""

from __future__ import annotations

from alembic import op

revision = "lexical_plan"
down_revision = "items_trigram"
branch_labels = None
depends_on = None

SEARCH = "search_lexical(uuid, integer[], sparsevec, integer)"


def upgrade() -> None:
    set_as_owner("SET enable_seqscan = off")


def downgrade() -> None:
    set_as_owner("RESET enable_seqscan")


def set_as_owner(change: str) -> None:
    op.execute("SET LOCAL ROLE ignite_search")
    op.execute(f"ALTER FUNCTION {SEARCH} {change}")
    op.execute("RESET ROLE")
