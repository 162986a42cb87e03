"""Attributes of files, and the functions that search in files with certain attributes only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from fastapi_ignite.infra.db.pgvector import schema_of_vector
from fastapi_ignite.infra.db.policies import drop_functions, give_functions

revision = "attributes_of_files"
down_revision = "conversations_of_a_project"
branch_labels = None
depends_on = None

MARK_CHANGE = """
CREATE OR REPLACE TRIGGER mark_changed BEFORE UPDATE ON files FOR EACH ROW
WHEN (OLD.state <> NEW.state OR OLD.last_error IS DISTINCT FROM NEW.last_error{or_attributes})
EXECUTE FUNCTION mark_changed_file()
"""
# It runs with the rights of its caller, so the policies apply. The condition looks at the values of the keys by their
# position, because a key cannot be a variable of jsonpath, and to take an object apart takes ten times as long.
MATCHING_DOCUMENTS = """
CREATE FUNCTION matching_documents(project uuid, keys text[], condition jsonpath, variables jsonb) RETURNS uuid[]
LANGUAGE sql STABLE STRICT
AS $$
    SELECT ARRAY(
        SELECT DISTINCT document_id FROM public.files
        WHERE project_id = project AND state = 'completed' AND document_id IS NOT NULL
            AND jsonb_path_match(
                to_jsonb(ARRAY(SELECT attributes -> key FROM unnest(keys) AS key)), condition, variables, true
            )
    )
$$
"""
# `IN (SELECT unnest(…))` with IS TRUE is looked up in a hash; a long array would be estimated element by element.
# Like `search_lexical`, whose migration says why it reads as another role. It looks only into these documents. Where
# they have at most `few` passages, all of those are scored, through the index by document: the rarest words, which
# `generating` is limited to, may all stand in other documents.
LEXICAL_FUNCTION = """
CREATE FUNCTION search_lexical_within(
    project uuid, generating integer[], question sparsevec, row_limit integer, documents uuid[], few integer
) RETURNS TABLE (chunk_id uuid)
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $$
DECLARE
    tenant CONSTANT uuid := NULLIF(current_setting('app.tenant_id', true), '')::uuid;
    visible uuid[];
    passages bigint;
BEGIN
    SELECT array_agg(d.id), sum(d.chunk_count) INTO visible, passages FROM public.documents AS d
    WHERE d.tenant_id = tenant AND d.project_id = project AND d.id = ANY(documents) AND d.hidden_at IS NULL;
    IF passages > few THEN
        RETURN QUERY
        SELECT c.id FROM public.chunks AS c
        WHERE c.terms && generating
            AND (c.tenant_id = tenant) IS TRUE
            AND (c.document_id IN (SELECT unnest(visible))) IS TRUE
        ORDER BY c.lexical OPERATOR({schema}.<#>) question
        LIMIT row_limit;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT c.id FROM public.chunks AS c
    WHERE c.tenant_id = tenant AND c.document_id = ANY(visible) AND c.lexical OPERATOR({schema}.<#>) question < 0
    ORDER BY c.lexical OPERATOR({schema}.<#>) question
    LIMIT row_limit;
END
$$
"""
LEXICAL_SIGNATURE = "search_lexical_within(uuid, integer[], sparsevec, integer, uuid[], integer)"
# Like `search_dense`, whose migration explains the settings. It looks only into these documents. Up to so many passages
# all are compared: a scan of the vector index would pass over too many others. It is the size from which on a project
# has an index, so that this takes as long as a search in a project without one.
FEW_PASSAGES = 20_000
DENSE_FUNCTION = """
CREATE FUNCTION search_dense_within(project uuid, question halfvec, row_limit integer, documents uuid[])
RETURNS TABLE (chunk_id uuid)
LANGUAGE plpgsql STABLE STRICT ROWS 100
AS $$
DECLARE
    visible uuid[];
    passages bigint;
    candidates text;
    row_count integer;
BEGIN
    SELECT array_agg(d.id), sum(d.chunk_count) INTO visible, passages FROM public.documents AS d
    WHERE d.project_id = project AND d.id = ANY(documents) AND d.hidden_at IS NULL;
    SELECT CASE WHEN r.chunk_count < 100000 THEN '400' ELSE '1000' END INTO candidates
    FROM pg_index AS i, public.rag_indexes AS r
    WHERE r.project_id = project AND i.indisvalid
        AND i.indexrelid = to_regclass('public.ix_chunks_embedding_' || replace(project::text, '-', ''))
        AND passages > {few};
    IF FOUND THEN
        PERFORM set_config('hnsw.ef_search', candidates, true), set_config('hnsw.max_scan_tuples', '20000', true),
            set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('enable_sort', 'off', true);
        RETURN QUERY EXECUTE format(
            'SELECT id FROM public.chunks WHERE project_id = %1$L::uuid '
            'AND (document_id IN (SELECT unnest($3))) IS TRUE ORDER BY (embedding::halfvec(%2$s)) <=> $1 LIMIT $2',
            project, vector_dims(question)
        ) USING question, row_limit, visible;
        GET DIAGNOSTICS row_count = ROW_COUNT;
        IF row_count >= row_limit THEN
            RETURN;
        END IF;
        PERFORM set_config('enable_sort', 'on', true);
    END IF;
    RETURN QUERY
    SELECT c.id FROM public.chunks AS c
    WHERE c.document_id = ANY(visible) AND c.embedding IS NOT NULL
    ORDER BY c.embedding <=> question LIMIT row_limit;
END
$$
"""
DENSE_SIGNATURE = "search_dense_within(uuid, halfvec, integer, uuid[])"
MATCHING_SIGNATURE = "matching_documents(uuid, text[], jsonpath, jsonb)"


def upgrade() -> None:
    op.add_column("files", sa.Column("attributes", JSONB(), server_default="{}", nullable=False))
    op.execute(MARK_CHANGE.format(or_attributes=" OR OLD.attributes <> NEW.attributes"))
    op.execute(MATCHING_DOCUMENTS)
    op.execute(LEXICAL_FUNCTION.format(schema=schema_of_vector()))
    op.execute(DENSE_FUNCTION.replace("{few}", str(FEW_PASSAGES)))
    for signature in (MATCHING_SIGNATURE, DENSE_SIGNATURE):
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO ignite_tenant")
    give_functions("ignite_search", {LEXICAL_SIGNATURE: "ignite_tenant"})


def downgrade() -> None:
    drop_functions("ignite_search", [LEXICAL_SIGNATURE])
    for signature in (DENSE_SIGNATURE, MATCHING_SIGNATURE):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute(MARK_CHANGE.format(or_attributes=""))
    op.drop_column("files", "attributes")
