"""Selects the files of a store that a search or an answer may use, as a filter of the provider.

A file at the provider has our id as its only attribute beside the project's. PostgreSQL decides which files meet a
condition on attributes, and the filter names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from openai.types.responses.file_search_tool_param import Filters
from openai.types.shared_params import ComparisonFilter
from openai.types.shared_params.compound_filter import CompoundFilter
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import FixedStatement
from fastapi_ignite.rag.documents.matching import MATCHING_DOCUMENTS
from fastapi_ignite.rag.engine import AttributeCondition

# of one comparison; a store has at most 10,000 files, and the shorter of two lists is sent
IDS_OF_A_LIST = 1_000
_MATCHING = FixedStatement(f"""
    SELECT id, document_id IN (SELECT unnest({MATCHING_DOCUMENTS})) AS matches FROM provider_files
    WHERE tenant_id = :tenant_id AND project_id = :project_id AND state = 'ready' AND document_id IS NOT NULL
""")  # noqa: S608  all parts are constants


@dataclass(frozen=True, slots=True)
class FileSelection:
    """Files of one project: only these, or all where `only` is None, and never those of `without`."""

    project_id: UUID
    without: Sequence[UUID] = ()
    only: Sequence[UUID] | None = None

    def filters(self) -> Filters:
        parts: list[ComparisonFilter | CompoundFilter] = [
            {"type": "eq", "key": "project_id", "value": str(self.project_id)}
        ]
        if self.only is not None:
            named = list(_lists("in", self.only))
            parts.append(named[0] if len(named) == 1 else {"type": "or", "filters": named})
        parts += _lists("nin", self.without)
        return parts[0] if len(parts) == 1 else {"type": "and", "filters": parts}


def _lists(kind: Literal["in", "nin"], ids: Sequence[UUID]) -> Iterator[ComparisonFilter]:
    for start in range(0, len(ids), IDS_OF_A_LIST):
        part = [str(file_id) for file_id in ids[start : start + IDS_OF_A_LIST]]
        yield {"type": kind, "key": "ignite_file", "value": part}


async def select_matching(
    session: AsyncSession, tenant_id: UUID, selection: FileSelection, within: AttributeCondition
) -> FileSelection:
    """Select of all files those of documents that meet the condition, by the shorter of two lists."""
    values = {"tenant_id": tenant_id, "project_id": selection.project_id, **within.parameters}
    rows = (await _MATCHING.execute(session, values)).all()
    matching = [row.id for row in rows if row.matches]
    others = [row.id for row in rows if not row.matches]
    if len(matching) <= len(others):
        return replace(selection, only=matching)
    return replace(selection, without=[*selection.without, *others])
