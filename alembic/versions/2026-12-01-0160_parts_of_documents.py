"""Parts of documents, whose words are counted together, and lengths relative to the project's own average."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import SPARSEVEC
from sqlalchemy.dialects.postgresql import ARRAY

from fastapi_ignite.infra.db.policies import protect

revision = "parts_of_documents"
down_revision = "erasure_of_tenants"
branch_labels = None
depends_on = None

# Weights are computed once, with the average length of that time. This corrects a score for the average of today:
# exactly for terms that the text holds once, nearly for the others. K1 is 1.2 and B is 0.75, as in `lexical.py`. A text
# whose length was not stored, or a project without an average (0), keeps its score.
LENGTH_FACTOR = """
CREATE FUNCTION bm25_length_factor(length integer, average_then real, average_now real) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(
        (1 + 1.2 * (0.25 + 0.75 * length / average_then)) / (1 + 1.2 * (0.25 + 0.75 * length / nullif(average_now, 0))),
        1
    )
$$
"""
FACTOR_SIGNATURE = "bm25_length_factor(integer, real, real)"
SIZES = ("part_chunks", "chunk_terms", "part_count", "part_terms")


def upgrade() -> None:
    for column in SIZES:
        op.add_column("rag_indexes", sa.Column(column, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("chunks", sa.Column("term_count", sa.Integer()))
    op.add_column("chunks", sa.Column("average_length", sa.REAL()))
    op.add_column("term_stats", sa.Column("part_df", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "document_parts",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("document_id", sa.Uuid(), primary_key=True),
        sa.Column("first_ordinal", sa.Integer(), primary_key=True),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("terms", ARRAY(sa.Integer()), nullable=False),
        sa.Column("lexical", SPARSEVEC(1 << 20), nullable=False),
        sa.Column("term_count", sa.Integer(), nullable=False),
        sa.Column("average_length", sa.REAL(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"
        ),
    )
    # every search reads the vectors of many parts, so they stay in their rows; nobody reads the terms but a removal
    op.execute("ALTER TABLE document_parts ALTER COLUMN lexical SET STORAGE MAIN")
    op.execute("ALTER TABLE document_parts SET (toast_tuple_target = 512)")
    protect("document_parts")
    op.execute(LENGTH_FACTOR)
    op.execute(f"REVOKE ALL ON FUNCTION {FACTOR_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {FACTOR_SIGNATURE} TO ignite_tenant")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {FACTOR_SIGNATURE}")
    op.drop_table("document_parts")
    op.drop_column("term_stats", "part_df")
    op.drop_column("chunks", "average_length")
    op.drop_column("chunks", "term_count")
    for column in SIZES:
        op.drop_column("rag_indexes", column)
