"""Asking: reserve in one transaction, answer in none, settle in another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import NotFoundError, UnavailableError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.idempotency import answer_of
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import Claim, IdempotencyStore, owner_alive
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.query.models import Conversation, Message
from fastapi_ignite.query.repository import MessageRepo
from fastapi_ignite.query.schemas import AskRequest, AskResult, CitationRead
from fastapi_ignite.rag.engine import Answer, RagEngine
from fastapi_ignite.rag.engines import engine_named
from fastapi_ignite.usage.models import Metric
from fastapi_ignite.usage.service import UsageService

RESERVATION_LIFETIME = timedelta(minutes=5)
MOST_ANSWERS = 3


class ConversationNotFoundError(NotFoundError):
    """Unknown, another tenant's, or about another project."""

    code = "conversation_not_found"
    title = "Unknown conversation"


class MessageNotFoundError(NotFoundError):
    """Unknown, another tenant's, or no answer."""

    code = "message_not_found"
    title = "Unknown message"


class AnswerAbandonedError(UnavailableError):
    """The answer came after its unit had expired; nothing was charged."""

    code = "answer_timeout"
    title = "The answer took too long"


class SourcesChangedError(UnavailableError):
    """Files were removed under every answer; nothing was charged."""

    code = "sources_changed"
    title = "The project's files are changing"


@dataclass(frozen=True, slots=True)
class _Question:
    """A question on record, with the unit held for it."""

    message_id: UUID
    conversation_id: UUID
    reservation_id: UUID
    engine: RagEngine


class QueryService:
    """The questions of one tenant. Opens its own short transactions."""

    def __init__(
        self, *, database: Database, engines: Mapping[str, RagEngine], settings: Settings, tenant_id: UUID
    ) -> None:
        self._database = database
        self._engines = engines
        self._settings = settings
        self._tenant_id = tenant_id

    async def ask(self, request: AskRequest, claim: Claim | None) -> AskResult:
        """One answer is one message of the plan, a refusal too; a failure is none.

        Raises:
            ProjectNotFoundError, ConversationNotFoundError: unknown ids.
            SubscriptionRequiredError, QuotaExceededError: nothing was asked.
            IdempotencyConflictError: the same request was made before.
            AnswerAbandonedError, SourcesChangedError: asking again may work.
        """
        question = await self._record(request, claim)
        asked = False  # money may have been spent
        try:
            async with owner_alive(self._database, claim):
                for _ in range(MOST_ANSWERS):
                    answer = await question.engine.ask(self._tenant_id, request.project_id, request.question)
                    asked = True
                    result = await self._settle(question, answer, claim)
                    if result is not None:
                        return result
            raise SourcesChangedError("Files were removed while they were read; nothing was charged.")
        except BaseException as error:
            spent = question.engine.paid and (asked or not isinstance(error, UnavailableError))
            await self._release(question, claim, spent=spent)
            raise

    async def read(self, message_id: UUID) -> AskResult:
        """An answer as it was given; costs nothing."""
        async with self._database.tenant(self._tenant_id) as session:
            message = await MessageRepo(session, self._tenant_id).answer(message_id)
        if message is None:
            raise MessageNotFoundError("This tenant has no answer with this id.")
        return _as_result(message)

    async def _record(self, request: AskRequest, claim: Claim | None) -> _Question:
        async with self._database.tenant(self._tenant_id) as session:
            idempotency = IdempotencyStore(session)
            if claim:
                await idempotency.claim(claim)
            project = await ProjectService(session, self._tenant_id).get(request.project_id)
            engine = engine_named(self._engines, project.engine or self._settings.default_engine)
            if claim and engine.paid:
                await idempotency.mark_paid(claim)
            messages = MessageRepo(session, self._tenant_id)
            conversation_id = request.conversation_id
            if conversation_id and not await messages.conversation(conversation_id, request.project_id):
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
        return _Question(message_id, conversation_id, reservation_id, engine)

    async def _settle(self, question: _Question, answer: Answer, claim: Claim | None) -> AskResult | None:
        """`None`: the answer holds the words of a document whose last file is removed, and must not leave."""
        message_id = new_id()
        async with self._database.tenant(self._tenant_id) as session:
            citations = await self._citations(FileRepo(session, self._tenant_id), answer)
            if citations is None:
                return None
            messages = MessageRepo(session, self._tenant_id)
            if not await messages.end_question(question.message_id, "completed"):
                raise AnswerAbandonedError("The answer took too long; nothing was charged.")
            message = Message(
                tenant_id=self._tenant_id,
                id=message_id,
                conversation_id=question.conversation_id,
                role="assistant",
                content=answer.text,
                state="completed",
                reply_to=question.message_id,
                engine=question.engine.name,
                answerable=answer.answerable,
                citations=[citation.model_dump(mode="json") for citation in citations],
                tokens_in=answer.tokens_in,
                tokens_out=answer.tokens_out,
                tokens_cached=answer.tokens_cached,
                tokens_reasoning=answer.tokens_reasoning,
            )
            await messages.add(message)
            await UsageService(session, self._tenant_id).settle(question.reservation_id)
            result = _as_result(message)
            if claim:
                resource = f"{self._settings.app.api_prefix}/v1/query/messages/{message_id}"
                await IdempotencyStore(session).complete(claim, resource=resource, answer=answer_of(result))
        return result

    async def _citations(self, files: FileRepo, answer: Answer) -> list[CitationRead] | None:
        """`None` when a cited document has no file any more."""
        names = await files.names([citation.document_id for citation in answer.citations])
        if any(citation.document_id not in names for citation in answer.citations):
            return None
        return [
            CitationRead(
                file_id=names[citation.document_id][0],
                filename=names[citation.document_id][1],
                quote=citation.quote,
                page=citation.page,
                char_start=citation.char_start,
                char_end=citation.char_end,
                score=citation.score,
                verified=True,
            )
            for citation in answer.citations
        ]

    async def _release(self, question: _Question, claim: Claim | None, *, spent: bool) -> None:
        """The tenant pays for no failure. A key under which money may have been spent stays taken."""
        async with self._database.tenant(self._tenant_id) as session:
            if await MessageRepo(session, self._tenant_id).end_question(question.message_id, "failed"):
                await UsageService(session, self._tenant_id).release(question.reservation_id)
            if claim and spent:
                await IdempotencyStore(session).give_up(claim)
            elif claim:
                await IdempotencyStore(session).release(claim)


def _as_result(message: Message) -> AskResult:
    return AskResult.model_validate(
        {
            "answer": message.content,
            "tokens_in": message.tokens_in,
            "tokens_out": message.tokens_out,
            "citations": message.citations or [],
            "message_id": message.id,
            "conversation_id": message.conversation_id,
            "answerable": message.answerable,
            "engine": message.engine,
        }
    )
