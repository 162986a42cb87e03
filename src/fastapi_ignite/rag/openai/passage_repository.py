"""SQL that finds the provider's excerpts in our own documents."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.rag.answers.passage import Passage
from fastapi_ignite.rag.text.surroundings import LONGEST_BEGINNING, WINDOW_MARGIN, surroundings_of

_PASSAGES = text("""
    SELECT r.position, d.id AS document_id, d.page_starts, p.char_start, length(r.excerpt) AS length,
        w.window_start, substr(d.text, w.window_start + 1, w.window_end - w.window_start) AS window_text, s.spans
    FROM unnest(CAST(:files AS text[]), CAST(:excerpts AS text[])) WITH ORDINALITY AS r (file_id, excerpt, position)
    JOIN provider_files AS f ON f.tenant_id = :tenant_id AND f.provider_id = r.file_id AND f.project_id = :project_id
    JOIN documents AS d ON d.tenant_id = f.tenant_id AND d.id = f.document_id AND d.hidden_at IS NULL
    CROSS JOIN LATERAL (SELECT strpos(d.text, r.excerpt) - 1 AS char_start) AS p
    CROSS JOIN LATERAL (
        SELECT greatest(p.char_start - :margin, 0) AS window_start,
            p.char_start + length(r.excerpt) + :margin AS window_end
    ) AS w
    LEFT JOIN LATERAL (
        -- what touches the window, and of the headings before it the last one of each level
        SELECT jsonb_agg(
            jsonb_build_array(
                span, CASE WHEN span_start < w.window_start THEN substr(d.text, span_start + 1, :beginning) END
            ) ORDER BY span_start
        ) AS spans
        FROM (
            SELECT span, span_start, span_end,
                row_number() OVER (PARTITION BY span_end > w.window_start, span -> 3 ORDER BY span_start DESC) AS place
            FROM jsonb_array_elements(d.spans) AS span,
                LATERAL (SELECT (span ->> 1)::integer AS span_start, (span ->> 2)::integer AS span_end) AS offsets
            WHERE span_start < w.window_end AND (span_end > w.window_start OR span ->> 0 = 'heading')
        ) AS found
        WHERE span_end > w.window_start OR place = 1
    ) AS s ON true
    WHERE p.char_start >= 0 AND r.excerpt <> ''
    ORDER BY r.position
""")


async def find_excerpts(
    session: AsyncSession, tenant_id: UUID, project_id: UUID, excerpts: Sequence[tuple[str, str, float]]
) -> dict[int, Passage]:
    """Find excerpts of provider files, each with its score, in visible documents. Return passages by position.

    What is not found word for word is missing.
    """
    rows = await session.execute(
        _PASSAGES,
        {
            "tenant_id": tenant_id,
            "project_id": project_id,
            "files": [file_id for file_id, _, _ in excerpts],
            "excerpts": [excerpt for _, excerpt, _ in excerpts],
            "margin": WINDOW_MARGIN,
            "beginning": LONGEST_BEGINNING,
        },
    )
    return {
        row.position - 1: Passage(
            document_id=row.document_id,
            char_start=row.char_start,
            char_end=row.char_start + row.length,
            window=row.window_text,
            window_start=row.window_start,
            page_starts=row.page_starts,
            score=excerpts[row.position - 1][2],
            surroundings=surroundings_of(row.spans or (), row.window_text, row.window_start, row.char_start),
        )
        for row in rows
    }
