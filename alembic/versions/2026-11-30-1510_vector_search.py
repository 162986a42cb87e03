"""The function that finds the nearest chunks of a question, by the vector index of the project where it has one."""

from __future__ import annotations

from alembic import op

revision = "vector_search"
down_revision = "structure_of_documents"
branch_labels = None
depends_on = None

SIGNATURE = "search_dense(uuid, halfvec, integer)"
# It runs with the rights of its caller, so the policies apply. Row-level security does not keep PostgreSQL from reading
# rows in the order of an index.
#
# Only a statement with the project and the dimensions as constants matches the index. A uuid and an integer cannot
# contain a quotation mark, so nothing else gets into the statement.
# enable_sort: with old statistics the planner may take the project for a few rows and sort all of them instead.
# With fewer candidates some questions lose their whole topic: with 200 at 200,000 chunks, with 400 at 300,000. The most
# that pgvector allows is 1000. The scan goes on until enough chunks of visible documents are found. It gives up after
# max_scan_tuples. Then all chunks are compared, also those that were returned already: the caller removes duplicates.
SEARCH_FUNCTION = """
CREATE FUNCTION search_dense(project uuid, question halfvec, row_limit integer)
RETURNS TABLE (chunk_id uuid)
LANGUAGE plpgsql STABLE STRICT ROWS 100
AS $$
DECLARE
    candidates text;
    row_count integer;
BEGIN
    SELECT CASE WHEN r.chunk_count < 100000 THEN '400' ELSE '1000' END INTO candidates
    FROM pg_index AS i, public.rag_indexes AS r
    WHERE r.project_id = project AND i.indisvalid
        AND i.indexrelid = to_regclass('public.ix_chunks_embedding_' || replace(project::text, '-', ''));
    IF FOUND THEN
        PERFORM set_config('hnsw.ef_search', candidates, true), set_config('hnsw.max_scan_tuples', '20000', true),
            set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('enable_sort', 'off', true);
        RETURN QUERY EXECUTE format(
            'SELECT id FROM public.chunks WHERE project_id = %1$L::uuid AND document_id NOT IN ('
            'SELECT id FROM public.documents WHERE project_id = %1$L::uuid AND hidden_at IS NOT NULL'
            ') ORDER BY (embedding::halfvec(%2$s)) <=> $1 LIMIT $2',
            project, vector_dims(question)
        ) USING question, row_limit;
        GET DIAGNOSTICS row_count = ROW_COUNT;
        IF row_count >= row_limit THEN
            RETURN;
        END IF;
        PERFORM set_config('enable_sort', 'on', true);
    END IF;
    RETURN QUERY
    SELECT c.id FROM public.chunks AS c
    WHERE c.project_id = project AND c.embedding IS NOT NULL AND c.document_id NOT IN (
        SELECT d.id FROM public.documents AS d WHERE d.project_id = project AND d.hidden_at IS NOT NULL
    )
    ORDER BY c.embedding <=> question LIMIT row_limit;
END
$$
"""
DROP_INDEXES = r"""
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT relname FROM pg_class JOIN pg_index ON indexrelid = pg_class.oid
        WHERE indrelid = 'public.chunks'::regclass AND relname LIKE 'ix\_chunks\_embedding\_%'
    LOOP
        EXECUTE format('DROP INDEX public.%I', name);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.execute(SEARCH_FUNCTION)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO ignite_tenant")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.execute(DROP_INDEXES)
