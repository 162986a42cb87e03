"""SQL of the local engine's search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from fastapi_ignite.infra.db import Database, FixedStatement
from fastapi_ignite.rag.answers.passage import Passage
from fastapi_ignite.rag.documents.matching import MATCHING_DOCUMENTS
from fastapi_ignite.rag.engine import AttributeCondition
from fastapi_ignite.rag.local.embedding import EmbeddingModel, Vectors
from fastapi_ignite.rag.local.fusion import Candidate, Ranked
from fastapi_ignite.rag.local.index_rows import averages_of
from fastapi_ignite.rag.local.lexical import AverageLengths
from fastapi_ignite.rag.text.surroundings import WINDOW_MARGIN, Surroundings

# Number of chunks that each search contributes to the candidates, or more where more results are wanted.
CANDIDATES = 100

_INDEX = FixedStatement("""
    SELECT i.embedder, i.dimensions, i.chunk_count, i.part_chunks, i.chunk_terms, i.part_count, i.part_terms,
        t.term, t.df, t.part_df
    FROM rag_indexes AS i
    LEFT JOIN term_stats AS t
        ON t.tenant_id = i.tenant_id AND t.project_id = i.project_id AND t.term = ANY(CAST(:terms AS integer[]))
    WHERE i.tenant_id = :tenant_id AND i.project_id = :project_id
""")
# The statements on `chunks` leave the tenant to the policy: see the repository.
#
# The best by words and the nearest by meaning, each with both of its scores. The migrations have the two functions.
# A vector in parentheses is read once: PostgreSQL would parse a parameter again for every row.
# LIMIT 1 keeps the sub-query apart, so that a chunk is found by its primary key. Joined, the tenant's chunks would all
# be read where the planner takes the tenant for a small one.
_LEXICAL, _DENSE = "(SELECT CAST(:lexical AS text)::sparsevec)", "(SELECT CAST(:dense AS real[])::halfvec)"
_SCORED = f"""(
    SELECT id, document_id,
        -(lexical <#> {_LEXICAL})
            * bm25_length_factor(term_count, average_length, CAST(:chunk_average AS real)) AS bm25,
        1 - (embedding <=> {_DENSE}) AS cosine,
        (
            SELECT -(part.lexical <#> {_LEXICAL})
                * bm25_length_factor(part.term_count, part.average_length, CAST(:part_average AS real))
            FROM document_parts AS part
            WHERE part.document_id = chunks.document_id AND part.first_ordinal <= chunks.ordinal
            ORDER BY part.first_ordinal DESC LIMIT 1
        ) AS part_bm25
    FROM chunks WHERE id = found.chunk_id LIMIT 1
) AS scored"""  # noqa: S608  all parts are constants
_CANDIDATES = FixedStatement(f"""
    SELECT scored.* FROM (
        SELECT chunk_id FROM search_lexical(:project_id, CAST(:generating AS integer[]), {_LEXICAL}, :row_limit)
        UNION SELECT chunk_id FROM search_dense(:project_id, {_DENSE}, :row_limit)
    ) AS found CROSS JOIN LATERAL {_SCORED}
    ORDER BY scored.id
""")  # noqa: S608  all parts are constants
# The same in the documents of some files. OFFSET 0 has the files looked at once for both searches.
_CANDIDATES_WITHIN = FixedStatement(f"""
    SELECT scored.* FROM (
        SELECT {MATCHING_DOCUMENTS} AS documents OFFSET 0
    ) AS matching CROSS JOIN LATERAL (
        SELECT chunk_id FROM search_lexical_within(
            :project_id, CAST(:generating AS integer[]), {_LEXICAL}, :row_limit, matching.documents, :few
        )
        UNION SELECT chunk_id FROM search_dense_within(:project_id, {_DENSE}, :row_limit, matching.documents)
    ) AS found CROSS JOIN LATERAL {_SCORED}
    ORDER BY scored.id
""")  # noqa: S608  all parts are constants
# A text is unpacked once for all its passages. `substr` on the column unpacks it for each: ten passages of a text of
# 1.2 MB took 40 ms, and take 18. OFFSET 0 keeps the sub-queries apart, so that one text at a time is in memory.
_PASSAGES = FixedStatement("""
    SELECT passage.* FROM (
        SELECT id, page_starts, text || '' AS text FROM documents
        WHERE id = ANY(CAST(:document_ids AS uuid[])) AND hidden_at IS NULL OFFSET 0
    ) AS d CROSS JOIN LATERAL (
        SELECT id, char_start, char_end, surroundings, d.page_starts,
            substr(d.text, greatest(char_start - :margin, 0) + 1,
                char_end - greatest(char_start - :margin, 0) + :margin) AS window_text
        FROM chunks WHERE id = ANY(CAST(:ids AS uuid[])) AND document_id = d.id OFFSET 0
    ) AS passage
""")


class TermCounts(NamedTuple):
    """How many of a project's chunks hold a term, and how many of its parts."""

    chunks: int = 0
    parts: int = 0


@dataclass(frozen=True, slots=True)
class SearchedIndex:
    """A project's index. `counts` has those of its terms that were asked for, by posting id.

    `part_count` is 0, and there are no `averages`, while chunks of an older version belong to no part.
    """

    model: EmbeddingModel
    chunk_count: int
    part_count: int
    averages: AverageLengths | None
    counts: dict[int, TermCounts]


async def find_index(
    database: Database, tenant_id: UUID, project_id: UUID, terms: Sequence[int]
) -> SearchedIndex | None:
    """Return the index with its counts of these terms, or None if the project has no index."""
    rows = await database.read(tenant_id, _INDEX, {"tenant_id": tenant_id, "project_id": project_id, "terms": terms})
    if not rows:
        return None
    first = rows[0]
    known = {row.term: TermCounts(row.df, row.part_df) for row in rows if row.term is not None}
    averages = averages_of(first) if first.part_chunks == first.chunk_count else None
    return SearchedIndex(
        EmbeddingModel(first.embedder, first.dimensions),
        first.chunk_count,
        first.part_count if averages else 0,
        averages,
        known,
    )


async def find_candidates(
    database: Database,
    tenant_id: UUID,
    project_id: UUID,
    generating: Sequence[int],
    lexical: str,
    dense: Vectors | None,
    averages: AverageLengths | None,
    *,
    within: AttributeCondition | None = None,
    few: int = 0,
    row_limit: int = CANDIDATES,
) -> list[Candidate]:
    """Return what either search found, with all scores, ordered by id. `lexical` is a sparsevec as text.

    Without a vector only words are searched for. Each search brings at most `row_limit` chunks. With `within` only
    documents are searched that have a completed file which meets the condition. If those have at most `few` chunks,
    each of them is scored by its words, and otherwise only those with a generating term.
    """
    values = {
        "project_id": project_id,
        "generating": generating,
        "lexical": lexical,
        "dense": None if dense is None else dense.tolist(),
        "row_limit": row_limit,
        "chunk_average": averages.chunk if averages else 0.0,
        "part_average": averages.part if averages else 0.0,
    }
    if within is None:
        rows = await database.read(tenant_id, _CANDIDATES, values)
    else:
        values |= {"few": few, **within.parameters}
        rows = await database.read(tenant_id, _CANDIDATES_WITHIN, values)
    return [Candidate(*row) for row in rows]


async def find_passages(database: Database, tenant_id: UUID, ranked: Sequence[Ranked]) -> list[Passage]:
    """Return the passages in the order given, without those that were hidden meanwhile."""
    ids = [entry.candidate.chunk_id for entry in ranked]
    documents = list({entry.candidate.document_id for entry in ranked})
    values = {"ids": ids, "document_ids": documents, "margin": WINDOW_MARGIN}
    rows = await database.read(tenant_id, _PASSAGES, values)
    found = {row.id: row for row in rows}
    return [
        Passage(
            document_id=entry.candidate.document_id,
            char_start=row.char_start,
            char_end=row.char_end,
            window=row.window_text,
            window_start=max(row.char_start - WINDOW_MARGIN, 0),
            page_starts=row.page_starts,
            score=entry.score,
            surroundings=Surroundings.from_json(row.surroundings),
        )
        for entry in ranked
        if (row := found.get(entry.candidate.chunk_id)) is not None
    ]
