"""Questions over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response

from fastapi_ignite.billing.errors import SubscriptionRequiredError
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import DatabaseDep, EnginesDep, PrincipalDep, SettingsDep, ensure_idempotent
from fastapi_ignite.http.event_stream import MEDIA_TYPE, EventStreamResponse
from fastapi_ignite.http.problems import BodyTooLargeError, MalformedBodyError, responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.infra.idempotency import Claim, IdempotencyOutcomeUnknownError
from fastapi_ignite.projects.errors import ProjectNotFoundError
from fastapi_ignite.query.errors import (
    AnswerAbandonedError,
    ConversationNotFoundError,
    SourcesChangedError,
)
from fastapi_ignite.query.schemas import AskRequest, AskResult, SearchRequest, SearchResult
from fastapi_ignite.query.service import QueryService
from fastapi_ignite.query.streaming import EXAMPLE
from fastapi_ignite.rag.engines import EngineMissingError
from fastapi_ignite.rag.errors import PROVIDER_ERRORS, SEARCH_ERRORS
from fastapi_ignite.usage.deps import QuotaHeadersDep
from fastapi_ignite.usage.errors import QuotaExceededError

router = tenant_router(
    "/query",
    "query",
    "Ask questions about the files of a project; each quote in an answer is verified. Search the files.",
)


async def _service(
    principal: PrincipalDep, database: DatabaseDep, engines: EnginesDep, settings: SettingsDep
) -> QueryService:
    return QueryService(database=database, engines=engines, settings=settings, tenant_id=principal.tenant_id)


QueryServiceDep = Annotated[QueryService, Depends(_service)]
AskClaim = Annotated[Claim | None, ensure_idempotent("/query/messages/{message_id}")]


@router.post(
    "/ask",
    response_model=AskResult,
    openapi_extra=requires(Scope.MESSAGES_WRITE),
    dependencies=[QuotaHeadersDep],
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": EXAMPLE}}},
        **responses(
            ProjectNotFoundError,
            ConversationNotFoundError,
            SubscriptionRequiredError,
            QuotaExceededError,
            IdempotencyOutcomeUnknownError,
            MalformedBodyError,
            BodyTooLargeError,
            AnswerAbandonedError,
            SourcesChangedError,
            *PROVIDER_ERRORS,
            EngineMissingError,
        ),
    },
)
async def ask(
    service: QueryServiceDep, claim: AskClaim, question: AskRequest, request: Request, response: Response
) -> AskResult | Response:
    """Answer from the project's documents, with quotes that were proven to stand there.

    The model is stopped when the caller leaves, unless there is an `Idempotency-Key` to come back with.
    """
    if question.stream:
        return EventStreamResponse(request, await service.stream(question, claim), headers=response.headers)
    return await service.ask(question, claim, caller_left=request.is_disconnected)


@router.post(
    "/search",
    openapi_extra=requires(Scope.FILES_READ),
    responses=responses(
        ProjectNotFoundError,
        SubscriptionRequiredError,
        MalformedBodyError,
        BodyTooLargeError,
        SourcesChangedError,
        *SEARCH_ERRORS,
        EngineMissingError,
    ),
)
async def search(service: QueryServiceDep, wanted: SearchRequest, request: Request) -> SearchResult:
    """The passages of the project's files that fit best, verbatim. No model writes, no message is used."""
    return await service.search(wanted, caller_left=request.is_disconnected)
