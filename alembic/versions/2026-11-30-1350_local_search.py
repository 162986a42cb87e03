"""The local engine's index: chunks, term statistics and the search function."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy.dialects.postgresql import ARRAY

from fastapi_ignite.infra.db.pgvector import schema_of_vector
from fastapi_ignite.infra.db.policies import drop_functions, give_functions, protect, provide_definer

revision = "local_search"
down_revision = "documents_and_files"
branch_labels = None
depends_on = None

PROJECT = (["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"])

# Under row-level security && is not leakproof, so the GIN index would not be used and every chunk of the tenant read.
# This function reads as a role whose policy admits it, filters by tenant and project itself, and gives out ids and
# scores, no text. IS TRUE keeps the B-trees out: a tenant younger than the last ANALYZE looks to the planner like one
# row, whose chunks it would all read. For the same reason it may not scan the table: the terms it is given are bounded
# in their number of chunks, so their index is always cheaper. plan_cache_mode: the right plan differs from question to
# question.
SEARCH_FUNCTION = """
CREATE FUNCTION search_lexical(project uuid, generating integer[], question sparsevec, row_limit integer)
RETURNS TABLE (chunk_id uuid, score double precision)
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $$
DECLARE
    tenant CONSTANT uuid := NULLIF(current_setting('app.tenant_id', true), '')::uuid;
BEGIN
    RETURN QUERY
    SELECT c.id, -(c.lexical OPERATOR({schema}.<#>) question)
    FROM public.chunks AS c
    WHERE c.terms && generating
        AND (c.tenant_id = tenant) IS TRUE
        AND (c.project_id = project) IS TRUE
        AND c.document_id NOT IN (
            SELECT d.id FROM public.documents AS d
            WHERE d.tenant_id = tenant AND d.project_id = project AND d.hidden_at IS NOT NULL
        )
    ORDER BY c.lexical OPERATOR({schema}.<#>) question
    LIMIT row_limit;
END
$$
"""
SIGNATURE = "search_lexical(uuid, integer[], sparsevec, integer)"


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    tables()
    storage()
    for table in ("rag_indexes", "chunks", "term_stats"):
        protect(table)
    search_function()


def tables() -> None:
    op.create_table(
        "rag_indexes",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), primary_key=True),
        sa.Column("vector_store_id", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Integer()),
        sa.Column("chunk_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(*PROJECT, ondelete="CASCADE"),
        sa.CheckConstraint("chunk_count >= 0", name="chunk_count"),
    )
    op.create_table(
        "chunks",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("char_start", sa.Integer(), nullable=False),
        sa.Column("char_end", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer()),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("terms", ARRAY(sa.Integer()), nullable=False),
        sa.Column("lexical", SPARSEVEC(1 << 20), nullable=False),
        sa.Column("embedding", HALFVEC()),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "document_id", "ordinal"),
    )
    op.create_index("ix_chunks_tenant_id_project_id", "chunks", ["tenant_id", "project_id"])
    op.create_index("ix_chunks_tenant_id_text_sha256", "chunks", ["tenant_id", "text_sha256"])
    # without fastupdate no question pays for the pending list of somebody's upload
    op.create_index(
        "ix_chunks_terms", "chunks", ["terms"], postgresql_using="gin", postgresql_with={"fastupdate": "off"}
    )
    op.create_table(
        "term_stats",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), primary_key=True),
        sa.Column("term", sa.Integer(), primary_key=True),
        sa.Column("df", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(*PROJECT, ondelete="CASCADE"),
    )


def storage() -> None:
    """What every search reads stays in the row; what only an answer reads goes out of it."""
    op.execute("ALTER TABLE chunks ALTER COLUMN lexical SET STORAGE MAIN")
    op.execute("ALTER TABLE chunks ALTER COLUMN embedding SET STORAGE MAIN")
    op.execute("ALTER TABLE chunks SET (toast_tuple_target = 512, fillfactor = 60)")
    op.execute("ALTER TABLE term_stats SET (fillfactor = 70)")


def search_function() -> None:
    """The migration's login makes it, then gives it to a role that can do nothing but read the two tables."""
    schema = schema_of_vector()
    provide_definer("ignite_search")
    op.execute(f"GRANT USAGE ON SCHEMA public, {schema} TO ignite_search")
    op.execute("GRANT SELECT ON chunks, documents TO ignite_search")
    op.execute("CREATE POLICY search ON chunks FOR SELECT TO ignite_search USING (true)")
    op.execute("CREATE POLICY search ON documents FOR SELECT TO ignite_search USING (true)")
    op.execute(SEARCH_FUNCTION.format(schema=schema))
    give_functions("ignite_search", {SIGNATURE: "ignite_tenant"})


def downgrade() -> None:
    """The extension and the role stay: others in the database, and other databases of the server, may use them."""
    drop_functions("ignite_search", [SIGNATURE])
    for table in ("term_stats", "chunks", "rag_indexes"):
        op.drop_table(table)
    op.execute("DROP POLICY search ON documents")
    op.execute("REVOKE SELECT ON documents FROM ignite_search")
    op.execute(f"REVOKE USAGE ON SCHEMA public, {schema_of_vector()} FROM ignite_search")
