"""The hosted engine: OpenAI searches and answers, and every quote is proven against our own text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from openai.types.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.sections import OpenAISettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import Answer, Citation, DocumentSource
from fastapi_ignite.rag.errors import ContentFilteredError, ProviderError
from fastapi_ignite.rag.extraction import page_at
from fastapi_ignite.rag.local.answering import REFUSAL, Passage, Quote
from fastapi_ignite.rag.local.embedding import count_tokens
from fastapi_ignite.rag.local.repository import LocalIndexRepository
from fastapi_ignite.rag.local.searching import LocalSearchRepository
from fastapi_ignite.rag.openai.citing import Excerpt, Reading, in_sentences, quotes, read
from fastapi_ignite.rag.openai.indexing import FileIndexer, IndexedFile, StoreMaker
from fastapi_ignite.rag.openai.reconciliation import Reconciliation
from fastapi_ignite.rag.openai.repository import ProviderRepository
from fastapi_ignite.rag.openai.service import OpenAIService


class OpenAIEngine:
    """Documents live in the table that the local engine has, so that finding, hiding and proving are the same."""

    name = "openai"
    paid = True

    def __init__(self, database: Database, settings: OpenAISettings) -> None:
        self._database = database
        self.service = OpenAIService(settings)
        self._stores = StoreMaker(database, self.service, seconds=settings.timeout_seconds)
        self._files = FileIndexer(database, self.service, seconds=settings.index_timeout_seconds)

    async def verify(self) -> None:
        """Nothing is known of the account that the first call would not tell as well."""

    async def create_index(self, tenant_id: UUID, project_id: UUID) -> str:
        return await self._stores.make(tenant_id, project_id)

    async def prepare(self, source: DocumentSource) -> IndexedFile:
        store_id = await self.create_index(source.tenant_id, source.project_id)
        return await self._files.index(source, store_id)

    async def find(self, session: AsyncSession, tenant_id: UUID, project_id: UUID, sha256: bytes) -> UUID | None:
        return await LocalIndexRepository(session, tenant_id).find_document(project_id, sha256)

    async def lock(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await LocalIndexRepository(session, tenant_id).lock_document(document_id)

    async def hide(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await LocalIndexRepository(session, tenant_id).hide(document_id)
        await ProviderRepository(session, tenant_id).begin_removal(document_id)

    async def embedded(self, session: AsyncSession, tenant_id: UUID, project_id: UUID) -> Mapping[UUID, float]:
        return await LocalIndexRepository(session, tenant_id).embedded_shares(project_id)

    async def purge(self, tenant_id: UUID, document_id: UUID) -> int:
        """Detached and deleted at the provider before we forget its id."""
        async with self._database.tenant(tenant_id) as session:
            project_id = await LocalIndexRepository(session, tenant_id).find_hidden_project(document_id)
            if project_id is None:
                return 0
            repository = ProviderRepository(session, tenant_id)
            store, files = await repository.store(project_id), await repository.removing(document_id)
        for file in files:
            if store and store.provider_id and file.provider_id:
                await self.service.detach(store.provider_id, file.provider_id)
            if file.provider_id:
                await self.service.delete_file(file.provider_id)
        async with self._database.tenant(tenant_id) as session:
            for file in files:
                await ProviderRepository(session, tenant_id).forget_file(file.id)
            await LocalIndexRepository(session, tenant_id).remove_document(project_id, document_id)
        return 0

    async def sharpen(self) -> bool:
        """The provider embeds by itself."""
        return False

    async def ask(self, tenant_id: UUID, project_id: UUID, question: str) -> Answer:
        async with self._database.tenant(tenant_id) as session:
            store = await ProviderRepository(session, tenant_id).store(project_id)
        if store is None or store.provider_id is None:
            asked = await asyncio.to_thread(count_tokens, question)
            refused = await asyncio.to_thread(count_tokens, REFUSAL)
            return Answer(REFUSAL, answerable=False, citations=(), tokens_in=asked, tokens_out=refused)
        response = await self.service.ask(store.provider_id, str(project_id), question)
        _require_an_answer(response)
        reading = await asyncio.to_thread(read, response)
        passages = await self._passages(tenant_id, project_id, reading.excerpts)
        found = await asyncio.to_thread(quotes, reading, passages)
        if found:
            async with self._database.tenant(tenant_id) as session:
                found = await LocalSearchRepository(session, tenant_id).prove(found)
        return _answer(reading, found, response)

    async def _passages(
        self, tenant_id: UUID, project_id: UUID, excerpts: Sequence[Excerpt]
    ) -> list[tuple[str, Passage]]:
        async with self._database.tenant(tenant_id) as session:
            repository = ProviderRepository(session, tenant_id)
            whole = await repository.locate(project_id, _rows(excerpts))
            rest = in_sentences([each for position, each in enumerate(excerpts) if position not in whole])
            pieces = await repository.locate(project_id, _rows(rest)) if rest else {}
        located = [(excerpts[position].file_id, passage) for position, passage in whole.items()]
        return located + [(rest[position].file_id, passage) for position, passage in pieces.items()]

    async def reconcile(self) -> int:
        return await Reconciliation(self._database, self.service).run()

    async def close(self) -> None:
        await self.service.close()


def _rows(excerpts: Sequence[Excerpt]) -> list[tuple[str, str, float]]:
    return [(excerpt.file_id, excerpt.text, excerpt.score) for excerpt in excerpts]


def _require_an_answer(response: Response) -> None:
    """HTTP 200 is no answer yet. One that was cut at its longest is; its quotes are proven like any other's."""
    reason = response.incomplete_details.reason if response.incomplete_details else None
    if reason == "content_filter":
        raise ContentFilteredError("The provider's content filter ended the answer; nothing was charged.")
    if response.status not in {"completed", "incomplete"}:
        raise ProviderError("The provider failed to answer; nothing was charged.")


def _answer(reading: Reading, found: Sequence[Quote], response: Response) -> Answer:
    """Without a proven quote nothing the model says is passed on, but its own refusal."""
    usage = response.usage
    return Answer(
        text=reading.text if (found or reading.refused) and reading.text else REFUSAL,
        answerable=bool(found) and not reading.refused,
        citations=()
        if reading.refused
        else tuple(
            Citation(
                document_id=quote.document_id,
                quote=quote.text,
                char_start=quote.char_start,
                char_end=quote.char_end,
                page=page_at(quote.page_starts, quote.char_start),
                score=quote.score,
            )
            for quote in found
        ),
        tokens_in=usage.input_tokens if usage else 0,
        tokens_out=usage.output_tokens if usage else 0,
        tokens_cached=usage.input_tokens_details.cached_tokens or 0 if usage and usage.input_tokens_details else 0,
        tokens_reasoning=usage.output_tokens_details.reasoning_tokens or 0
        if usage and usage.output_tokens_details
        else 0,
    )
