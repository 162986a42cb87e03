"""Finds what the provider found in our own documents."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.answers.passage import Passage, Quote
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.openai.passage_repository import find_excerpts
from fastapi_ignite.rag.openai.repository import ProviderRepository
from fastapi_ignite.rag.openai.response_parsing import Excerpt, split_excerpts


class ProjectTexts:
    """The stored texts of one project's documents."""

    def __init__(self, database: Database, tenant_id: UUID, project_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._project_id = project_id

    async def locate(self, excerpts: Sequence[Excerpt]) -> list[tuple[int, Passage]]:
        """Return passages with the position of their excerpt: whole excerpts, then sentences of the others.

        What stands in no visible document of the project is missing.
        """
        whole = await self._locate(excerpts)
        rest = await asyncio.to_thread(_sentences_of_others, excerpts, whole)
        pieces = await self._locate([sentence for _, sentence in rest])
        return [*whole.items(), *((rest[number][0], passage) for number, passage in pieces.items())]

    async def sources(self, excerpts: Sequence[Excerpt]) -> list[tuple[str, Passage]]:
        """Return the same passages, each with the provider's id of its file."""
        return [(excerpts[position].file_id, passage) for position, passage in await self.locate(excerpts)]

    async def prove(self, excerpts: Sequence[Excerpt], found: Sequence[Quote]) -> tuple[list[Quote], bool]:
        """Return the quotes that are true, and whether all excerpts are of documents that may be read."""
        async with self._database.tenant(self._tenant_id) as session:
            proven = await DocumentRepository(session, self._tenant_id).prove(found) if found else []
            return proven, await self._may_be_read(session, excerpts)

    async def may_be_read(self, excerpts: Sequence[Excerpt]) -> bool:
        """Return whether all excerpts are of documents that may be read."""
        async with self._database.tenant(self._tenant_id) as session:
            return await self._may_be_read(session, excerpts)

    async def _may_be_read(self, session: AsyncSession, excerpts: Sequence[Excerpt]) -> bool:
        files = {excerpt.file_id for excerpt in excerpts}
        return files == await ProviderRepository(session, self._tenant_id).visible(self._project_id, files)

    async def _locate(self, excerpts: Sequence[Excerpt]) -> Mapping[int, Passage]:
        if not excerpts:
            return {}
        rows = [(excerpt.file_id, excerpt.text, excerpt.score) for excerpt in excerpts]
        async with self._database.tenant(self._tenant_id) as session:
            return await find_excerpts(session, self._tenant_id, self._project_id, rows)


def results_of(located: Iterable[tuple[int, Passage]]) -> list[Passage]:
    """Return the passages in the order of the excerpts, each place once. Adjacent sentences are one passage."""
    places: dict[tuple[UUID, int, int], Passage] = {}
    for _, group in groupby(sorted(located, key=itemgetter(0)), key=itemgetter(0)):
        found: list[Passage] = []
        for _, passage in group:
            joined = _joined(found[-1], passage) if found else None
            found = [*found[:-1], joined] if joined else [*found, passage]
        for passage in found:
            places.setdefault((passage.document_id, passage.char_start, passage.char_end), passage)
    return list(places.values())


def _joined(one: Passage, other: Passage) -> Passage | None:
    """Join two passages, or return None where more than blanks stand between them."""
    if one.document_id != other.document_id or other.char_start < one.char_end:
        return None
    end, start = one.char_end - one.window_start, other.char_start - one.window_start
    gap = one.window[end:start]
    if len(gap) < start - end or gap.strip():
        return None
    window = one.window[:start] + other.window[other.char_start - other.window_start :]
    surroundings = one.surroundings.joined(other.surroundings)
    return replace(one, char_end=other.char_end, window=window, surroundings=surroundings)


def _sentences_of_others(excerpts: Sequence[Excerpt], whole: Collection[int]) -> list[tuple[int, Excerpt]]:
    return [
        (position, sentence)
        for position, excerpt in enumerate(excerpts)
        if position not in whole
        for sentence in split_excerpts([excerpt])
    ]
