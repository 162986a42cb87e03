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
    op.execute(f"ALTER FUNCTION {SEARCH} SET enable_seqscan = off")


def downgrade() -> None:
    op.execute(f"ALTER FUNCTION {SEARCH} RESET enable_seqscan")
