"""The engine whose documents OpenAI searches and answers from. Every quote is proven against our own text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from openai.types.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.model_sections import OpenAISettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.ratelimit import Limiter
from fastapi_ignite.rag.answers.passage import REFUSAL, Quote, best_of_each, cite, present
from fastapi_ignite.rag.documents.repository import DocumentRepository
from fastapi_ignite.rag.engine import (
    Answer,
    AnswerEvent,
    AttributeCondition,
    DocumentSource,
    Final,
    FoundPassage,
    Purged,
    TokenUsage,
)
from fastapi_ignite.rag.errors import ProviderError
from fastapi_ignite.rag.llm.streamed_answer import StreamedAnswer
from fastapi_ignite.rag.openai.file_selection import FileSelection, select_matching
from fastapi_ignite.rag.openai.indexing import FileIndexer, IndexedFile, StoreMaker, already_claimed
from fastapi_ignite.rag.openai.missing_objects import MissingObjectDetector, rebuilding_error
from fastapi_ignite.rag.openai.passage_lookup import ProjectTexts, results_of
from fastapi_ignite.rag.openai.provider_limits import ProviderLimits
from fastapi_ignite.rag.openai.reconciliation import Reconciliation
from fastapi_ignite.rag.openai.repository import ProviderRepository, damaged_stores
from fastapi_ignite.rag.openai.response_parsing import Reading, quotes, read, read_results, whole_response
from fastapi_ignite.rag.openai.service import INSTRUCTIONS, MOST_RESULTS, OpenAIService
from fastapi_ignite.rag.openai.store_rebuild import Rebuilder, RebuiltStore
from fastapi_ignite.rag.openai.stream_progress import StreamProgress
from fastapi_ignite.rag.text.tokens import count_tokens

DOCUMENTS_BATCH = 100
MOST_SEARCHES = 3


class OpenAIEngine:
    """Searches and answers at OpenAI. The documents' text is stored here too, to hide it and to prove quotes by it."""

    name = "openai"
    paid = True

    def __init__(self, database: Database, settings: OpenAISettings, limiter: Limiter | None = None) -> None:
        self._database = database
        self._max_output_tokens = settings.max_output_tokens
        self.service = OpenAIService(settings)
        provider_limits = ProviderLimits(limiter)
        self._missing_objects = MissingObjectDetector(database, self.service)
        self._stores = StoreMaker(database, self.service, seconds=settings.timeout_seconds)
        self._files = FileIndexer(
            database, self.service, self._missing_objects, provider_limits, seconds=settings.index_timeout_seconds
        )
        self._rebuilder = Rebuilder(
            database,
            self.service,
            stores=self._stores,
            missing_objects=self._missing_objects,
            provider_limits=provider_limits,
            seconds=settings.index_timeout_seconds,
        )

    async def create_index(self, tenant_id: UUID, project_id: UUID) -> str:
        return await self._stores.make(tenant_id, project_id)

    async def prepare(self, source: DocumentSource) -> IndexedFile:
        store_id = await self.create_index(source.tenant_id, source.project_id)
        async with self._missing_objects.detecting(source.tenant_id, source.project_id, store_id):
            return await self._files.index(source, store_id)

    async def hide(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        await DocumentRepository(session, tenant_id).hide(document_id)
        await ProviderRepository(session, tenant_id).begin_removal(document_id)

    async def embedded(
        self, session: AsyncSession, tenant_id: UUID, project_id: UUID, documents: Collection[UUID] | None = None
    ) -> Mapping[UUID, float]:
        return await DocumentRepository(session, tenant_id).embedded_shares(project_id, documents)

    async def purge(self, tenant_id: UUID, document_id: UUID) -> Purged:
        """Detach and delete the files at the provider before we forget their ids."""
        async with self._database.tenant(tenant_id) as session:
            project_id = await DocumentRepository(session, tenant_id).project_of_hidden(document_id)
            if project_id is None:
                return Purged()
            repository = ProviderRepository(session, tenant_id)
            store, files = await repository.store(project_id), await repository.removing(document_id)
        for file in files:
            if store and store.provider_id and file.provider_id:
                await self.service.detach(store.provider_id, file.provider_id)
            if file.provider_id:
                await self.service.delete_file(file.provider_id)
        async with self._database.tenant(tenant_id) as session:
            for file in files:
                await ProviderRepository(session, tenant_id).delete_file(file.id)
            await DocumentRepository(session, tenant_id).delete(document_id)
        return Purged(provider_ids=tuple(file.provider_id for file in files if file.provider_id))

    async def remove_index(self, tenant_id: UUID, project_id: UUID) -> AsyncGenerator[Sequence[str]]:
        """Remove at the provider before we forget the ids; what is being made just now is waited for."""
        async with aclosing(self._files.remove_all(tenant_id, project_id)) as removed:
            async for provider_ids in removed:
                yield provider_ids
        yield await self._stores.remove(tenant_id, project_id)
        removed_documents = DOCUMENTS_BATCH
        while removed_documents == DOCUMENTS_BATCH:
            async with self._database.system() as session:
                documents = DocumentRepository(session, tenant_id)
                removed_documents = await documents.delete_some(project_id, DOCUMENTS_BATCH)
            yield ()

    async def abandon(self, session: AsyncSession, tenant_id: UUID, project_id: UUID, sha256: bytes) -> None:
        if not await ProviderRepository(session, tenant_id).abandon(project_id, sha256):
            raise already_claimed()

    async def discard(self, tenant_id: UUID, project_id: UUID, sha256: bytes) -> Purged:
        return Purged(provider_ids=await self._files.discard(tenant_id, project_id, sha256))

    async def damaged(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        async with self._database.system() as session:
            return await damaged_stores(session, limit)

    async def rebuild(self, tenant_id: UUID, project_id: UUID) -> RebuiltStore | None:
        return await self._rebuilder.rebuild(tenant_id, project_id)

    async def ask(
        self,
        tenant_id: UUID,
        project_id: UUID,
        question: str,
        usage: TokenUsage,
        *,
        stream: bool = False,
        within: AttributeCondition | None = None,
    ) -> AsyncGenerator[AnswerEvent]:
        store_id, selection = await self._searchable(tenant_id, project_id, within)
        if store_id is None:
            usage.tokens_in += await asyncio.to_thread(count_tokens, question)
            usage.tokens_out += await asyncio.to_thread(count_tokens, REFUSAL)
            yield Final(Answer(REFUSAL, answerable=False, citations=()))
            return
        answer = StreamedAnswer(f"{INSTRUCTIONS}\n{question}", max_output_tokens=self._max_output_tokens)
        texts = ProjectTexts(self._database, tenant_id, project_id)
        reader = StreamProgress(answer, texts)
        asking = self.service.ask(store_id, question, answer, selection)
        try:
            async with (
                self._missing_objects.detecting(tenant_id, project_id, store_id),
                aclosing(answer.progress(asking)) as progress,
            ):
                async for _ in progress:
                    for event in await reader.read() if stream else ():
                        yield event
        finally:
            answer.charge(usage)
        response = whole_response(answer)
        reading = await asyncio.to_thread(read, response)
        was_readable = await texts.may_be_read(reading.excerpts)
        for event in await reader.locate(reading.excerpts):
            if stream:
                yield event
        found = await asyncio.to_thread(quotes, reading, reader.sources)
        proven, may_be_read = await texts.prove(reading.excerpts, found)
        if not may_be_read and not reading.refused:
            # a file was hidden while the model read it: of its answer only what is proven may leave
            reading = replace(reading, text="\n\n".join(quote.text for quote in proven))
        yield Final(_answer(response, reading, proven), outdated=not (was_readable and may_be_read))

    async def search(
        self,
        tenant_id: UUID,
        project_id: UUID,
        query: str,
        limit: int,
        *,
        within: AttributeCondition | None = None,
        per_document: int | None = None,
    ) -> Sequence[FoundPassage]:
        """Search at the provider. A passage is cut out of our own text; one result may be several passages.

        A result of a document that is hidden, or not there yet, takes the place of another one. It came into the store
        or out of our answers while the provider searched, so the search is made again.
        """
        texts = ProjectTexts(self._database, tenant_id, project_id)
        found: Sequence[FoundPassage] = ()
        for _ in range(MOST_SEARCHES):
            store_id, selection = await self._searchable(tenant_id, project_id, within)
            if store_id is None:
                return ()
            async with self._missing_objects.detecting(tenant_id, project_id, store_id):
                asked = MOST_RESULTS if per_document else min(limit, MOST_RESULTS)
                results = await self.service.search(store_id, query, asked, selection)
            excerpts = read_results(results)
            was_readable = await texts.may_be_read(excerpts)
            located = results_of(await texts.locate(excerpts))
            found = present(best_of_each(located, lambda passage: passage.document_id, per_document)[:limit])
            if was_readable and await texts.may_be_read(excerpts):
                break
        return found

    async def _searchable(
        self, tenant_id: UUID, project_id: UUID, within: AttributeCondition | None
    ) -> tuple[str | None, FileSelection]:
        """Return the id of the project's store, and the files in it that may be used. Without any, the id is None.

        Raises:
            StoreMissingError: the store is being made again.
        """
        async with self._database.tenant(tenant_id) as session:
            provider = ProviderRepository(session, tenant_id)
            store, withdrawn = await provider.store(project_id), await provider.withdrawn(project_id)
            selection = FileSelection(project_id, withdrawn)
            if within is not None:
                selection = await select_matching(session, tenant_id, selection, within)
        if store and store.state in {"lost", "filling"}:
            raise rebuilding_error()
        nothing = selection.only is not None and not selection.only
        return (store.provider_id if store and not nothing else None), selection

    async def reconcile(self) -> int:
        return await Reconciliation(self._database, self.service).run()

    async def close(self) -> None:
        await self.service.close()


def _answer(response: Response, reading: Reading, found: Sequence[Quote]) -> Answer:
    """Return the answer that may leave: without a proven quote no word of the model, except its own refusal.

    Raises:
        ProviderError: the answer was cut before its first word.
    """
    truncated = response.status == "incomplete"
    if truncated and not reading.text:
        raise ProviderError("The model reached its longest answer before it said anything; nothing was charged.")
    cited = () if reading.refused else cite(found)
    text = reading.text if cited or reading.refused else ""
    return Answer(text or REFUSAL, answerable=bool(cited), citations=cited, truncated=truncated)
