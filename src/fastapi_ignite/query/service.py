"""Answers questions: it reserves in one transaction, answers in none, and settles in another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import CommitOutcomeUnknownError, Database
from fastapi_ignite.infra.idempotency import Claim, IdempotentWork
from fastapi_ignite.ingestion.repository import FileRepo, read_names
from fastapi_ignite.projects.engine import engine_of
from fastapi_ignite.projects.service import ProjectService, read_engine_name
from fastapi_ignite.query.client_disconnect import CallerLeft, cancel_on_disconnect, stop_on_disconnect
from fastapi_ignite.query.errors import (
    AnswerAbandonedError,
    ClientDisconnectedError,
    ConversationNotFoundError,
    SourcesChangedError,
)
from fastapi_ignite.query.filters import condition_of
from fastapi_ignite.query.models import RESERVATION_LIFETIME, Conversation, Message
from fastapi_ignite.query.repository import MessageRepo
from fastapi_ignite.query.schemas import (
    AskRequest,
    AskResult,
    CitationRead,
    PassageRead,
    SearchRequest,
    SearchResult,
    StreamMeta,
)
from fastapi_ignite.query.streaming import AnswerStream, Names, StreamEvent, answer_events
from fastapi_ignite.rag.engine import (
    Answer,
    AttributeCondition,
    Cited,
    Final,
    RagEngine,
    SourcesFound,
    Text,
    TokenUsage,
)
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService

MOST_ANSWERS = 3
MOST_SEARCHES = 5


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A stored question, with the unit that is held for it and the id that its answer will have."""

    work: IdempotentWork
    text: str
    project_id: UUID
    message_id: UUID
    answer_id: UUID
    conversation_id: UUID
    reservation_id: UUID
    engine: RagEngine
    within: AttributeCondition | None


class QueryService:
    """The questions of one tenant. It opens its own short transactions."""

    def __init__(
        self, *, database: Database, engines: Mapping[str, RagEngine], settings: Settings, tenant_id: UUID
    ) -> None:
        self._database = database
        self._engines = engines
        self._settings = settings
        self._tenant_id = tenant_id

    async def ask(self, request: AskRequest, claim: Claim | None, *, caller_left: CallerLeft) -> AskResult:
        """Return the answer. It counts as one message of the plan, a refusal too; a failure counts as none.

        Raises as `_begin` and `_answer` do.
        """
        async with aclosing(self._answer(await self._begin(request, claim), caller_left=caller_left)) as events:
            return [event async for event in events if isinstance(event, AskResult)][-1]

    async def stream(self, request: AskRequest, claim: Claim | None) -> AnswerStream:
        """Store the question, and return what tells its answer while it is made.

        Raises as `_begin` does. The events raise as `_answer` does.
        """
        question = await self._begin(request, claim)
        meta = StreamMeta(
            message_id=question.answer_id, conversation_id=question.conversation_id, engine=question.engine.name
        )

        def events(caller_left: CallerLeft) -> AsyncGenerator[StreamEvent]:
            answer = self._answer(question, caller_left=caller_left, stream=True)
            return answer_events(meta, answer, partial(self._names, within=question.within))

        return events

    async def _answer(
        self, question: OpenQuestion, *, caller_left: CallerLeft, stream: bool = False
    ) -> AsyncGenerator[SourcesFound | Cited | Text | AskResult]:
        """Ask the engine, settle the message, and yield the result last; with `stream`, the engine's events before it.

        A caller who leaves stops the engine, and has used the message once the engine worked. With a key the answer is
        worked out all the same: the caller may come back for it. When an answer has to be made again, its events begin
        with `SourcesFound` again.

        Raises:
            ProjectNotFoundError, ConversationNotFoundError: it was deleted meanwhile; nothing was charged.
            AnswerAbandonedError, SourcesChangedError: asking again may work.
            ClientDisconnectedError: the caller left.
        """
        usage = TokenUsage()
        result: AskResult | None = None
        async with question.work as work:
            try:
                for answers_left in reversed(range(MOST_ANSWERS)):
                    asking = question.engine.ask(
                        self._tenant_id,
                        question.project_id,
                        question.text,
                        usage,
                        stream=stream,
                        within=question.within,
                    )
                    async with aclosing(asking if work.is_keyed else stop_on_disconnect(asking, caller_left)) as events:
                        async for event in events:
                            if isinstance(event, Final):
                                work.spent = question.engine.paid
                                if not event.outdated or not answers_left:
                                    result = await self._settle(question, event.answer, usage)
                                break
                            yield event
                    if result is not None:
                        break
                else:
                    raise SourcesChangedError("Files were changed while they were read; nothing was charged.")
            except CommitOutcomeUnknownError:
                raise  # the answer may be stored and charged; if it is not, the unit and the question expire
            except ClientDisconnectedError:
                await self._end(question, usage, charged=usage.spent)
                raise
            except BaseException:
                await self._end(question, usage, charged=False)
                raise
        yield result  # settled: what happens to the reader from here on changes nothing

    async def search(self, request: SearchRequest, *, caller_left: CallerLeft) -> SearchResult:
        """Return the passages that fit best. This costs no message, but a provider may be paid for it.

        Raises:
            ProjectNotFoundError: The id is unknown.
            SubscriptionRequiredError: The tenant has no plan; nothing was searched.
            SourcesChangedError: Files were removed or replaced during each of several searches.
            ClientDisconnectedError: The caller left, and the engine was stopped.
        """
        within = condition_of(request.filters)
        for _ in range(MOST_SEARCHES):
            # it is read anew each time, because the project may be deleted in the course of a search
            own = await read_engine_name(self._database, self._tenant_id, request.project_id)
            engine = engine_of(own, self._engines, default=self._settings.default_engine)
            searching = engine.search(
                self._tenant_id,
                request.project_id,
                request.query,
                request.limit,
                within=within,
                per_document=request.per_file,
            )
            found = await cancel_on_disconnect(searching, caller_left)
            # The names are read last and by one query: either each passage is of a file as it is at that moment, or
            # something was changed meanwhile, and the search is made again.
            names = await self._names({passage.document_id for passage in found}, within=within)
            if all(passage.document_id in names for passage in found):
                return SearchResult(
                    results=[
                        PassageRead.of(passage, *names[passage.document_id], text=passage.text) for passage in found
                    ],
                    engine=engine.name,
                )
        raise SourcesChangedError(
            "Files were changed during each of several searches. Search again.", headers={"Retry-After": "1"}
        )

    async def _names(self, document_ids: Collection[UUID], *, within: AttributeCondition | None) -> Names:
        """Return the file that callers know each document by. Documents without a file that counts are left out."""
        return await read_names(self._database, self._tenant_id, document_ids, within=within)

    async def _begin(self, request: AskRequest, claim: Claim | None) -> OpenQuestion:
        """Store the question and hold a unit for it.

        Raises:
            ProjectNotFoundError, ConversationNotFoundError: The id is unknown.
            SubscriptionRequiredError, QuotaExceededError: The tenant may ask nothing.
            IdempotencyConflictError: The same request was made before.
        """
        work = IdempotentWork(self._database, claim)
        async with self._database.tenant(self._tenant_id) as session:
            await work.begin(session)
            project = await ProjectService(session, self._tenant_id).get(request.project_id, keep=True)
            engine = engine_of(project.engine, self._engines, default=self._settings.default_engine)
            if engine.paid:
                await work.mark_paid(session)
            messages = MessageRepo(session, self._tenant_id)
            conversation_id = request.conversation_id
            if conversation_id and not await messages.keep_conversation(conversation_id, request.project_id):
                raise ConversationNotFoundError("This project has no conversation with this id.")
            reservation_id = await UsageService(session, self._tenant_id).reserve(
                Metric.MESSAGES, 1, lifetime=RESERVATION_LIFETIME
            )
            if conversation_id is None:
                conversation_id = new_id()
                await messages.add(
                    Conversation(tenant_id=self._tenant_id, id=conversation_id, project_id=request.project_id)
                )
            message_id = new_id()
            await messages.add(
                Message(
                    tenant_id=self._tenant_id,
                    id=message_id,
                    conversation_id=conversation_id,
                    role="user",
                    content=request.question,
                    state="pending",
                    reservation_id=reservation_id,
                )
            )
        return OpenQuestion(
            work=work,
            text=request.question,
            project_id=request.project_id,
            message_id=message_id,
            answer_id=new_id(),
            conversation_id=conversation_id,
            reservation_id=reservation_id,
            engine=engine,
            within=condition_of(request.filters),
        )

    async def _settle(self, question: OpenQuestion, answer: Answer, usage: TokenUsage) -> AskResult | None:
        """Store and charge the answer. Return None if it cites a document without a file: it must not leave."""
        async with self._database.tenant(self._tenant_id) as session:
            messages = MessageRepo(session, self._tenant_id)
            if not await messages.keep_conversation(question.conversation_id, question.project_id):
                await ProjectService(session, self._tenant_id).get(question.project_id)  # it goes with its project
                raise ConversationNotFoundError("The conversation was deleted meanwhile; nothing was charged.")
            citations = await self._citations(FileRepo(session, self._tenant_id), answer, question.within)
            if citations is None:
                return None
            if not await messages.end_question(question.message_id, "completed"):
                raise AnswerAbandonedError("The answer took too long; nothing was charged.")
            message = Message(
                tenant_id=self._tenant_id,
                id=question.answer_id,
                conversation_id=question.conversation_id,
                role="assistant",
                content=answer.text,
                state="completed",
                reply_to=question.message_id,
                engine=question.engine.name,
                answerable=answer.answerable,
                citations=[citation.model_dump(mode="json") for citation in citations],
                truncated=answer.truncated,
                **_columns(usage),
            )
            await messages.add(message)
            if not await UsageService(session, self._tenant_id).settle(question.reservation_id):
                raise AnswerAbandonedError("The answer took too long; nothing was charged.")
            result = as_result(message)
            await question.work.complete(session, result)
        return result

    async def _citations(
        self, files: FileRepo, answer: Answer, within: AttributeCondition | None
    ) -> list[CitationRead] | None:
        """Return the citations, or None if a cited document has no file any more, or none that meets the condition."""
        names = await files.names([citation.document_id for citation in answer.citations], within=within)
        if any(citation.document_id not in names for citation in answer.citations):
            return None
        return [CitationRead.proven(citation, *names[citation.document_id]) for citation in answer.citations]

    async def _end(self, question: OpenQuestion, usage: TokenUsage, *, charged: bool) -> None:
        """End the question without an answer. What was spent at a provider is stored, whoever pays for it."""
        columns = _columns(usage) if usage.spent else {}
        async with self._database.tenant(self._tenant_id) as session:
            state = "cancelled" if charged else "failed"
            if not await MessageRepo(session, self._tenant_id).end_question(question.message_id, state, **columns):
                return
            units = UsageService(session, self._tenant_id)
            await (units.settle(question.reservation_id) if charged else units.release(question.reservation_id))


def _columns(usage: TokenUsage) -> dict[str, int | bool]:
    return {
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "tokens_cached": usage.tokens_cached,
        "tokens_reasoning": usage.tokens_reasoning,
        "tokens_estimated": usage.estimated,
    }


def as_result(message: Message) -> AskResult:
    """Return the stored answer as its caller got it."""
    return AskResult.model_validate(
        {
            "answer": message.content,
            "tokens_in": message.tokens_in,
            "tokens_out": message.tokens_out,
            "citations": message.citations or [],
            "message_id": message.id,
            "conversation_id": message.conversation_id,
            "answerable": message.answerable,
            "truncated": bool(message.truncated),
            "tokens_estimated": bool(message.tokens_estimated),
            "engine": message.engine,
        }
    )
