"""Conversations, their messages and feedback over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Response

from fastapi_ignite.conversations.schemas import (
    CONVERSATION_EXAMPLE,
    AnswerRead,
    ConversationDeleted,
    ConversationList,
    ConversationRead,
    FeedbackRead,
    FeedbackWrite,
    MessageList,
)
from fastapi_ignite.conversations.service import ConversationService
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.http.deps import PrincipalDep, SessionDep
from fastapi_ignite.http.problems import BodyTooLargeError, MalformedBodyError, responses
from fastapi_ignite.http.routing import requires, tenant_router
from fastapi_ignite.projects.errors import ProjectNotFoundError
from fastapi_ignite.projects.schemas import PROJECT_EXAMPLE
from fastapi_ignite.query.errors import ConversationNotFoundError, MessageNotFoundError
from fastapi_ignite.query.schemas import ANSWER_EXAMPLE

router = tenant_router("/query", "query")


async def _service(principal: PrincipalDep, session: SessionDep) -> ConversationService:
    return ConversationService(session, principal.tenant_id)


ConversationServiceDep = Annotated[ConversationService, Depends(_service)]
ConversationId = Annotated[UUID, Path(examples=[CONVERSATION_EXAMPLE])]
MessageId = Annotated[UUID, Path(examples=[ANSWER_EXAMPLE["message_id"]])]
PageLimit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[UUID | None, Query(description="`next_after` of the page before.")]


@router.get("/conversations", openapi_extra=requires(Scope.MESSAGES_READ), responses=responses(ProjectNotFoundError))
async def list_conversations(
    service: ConversationServiceDep,
    project_id: Annotated[
        UUID | None, Query(description="Only conversations about this project.", examples=[PROJECT_EXAMPLE])
    ] = None,
    limit: PageLimit = 50,
    after: After = None,
) -> ConversationList:
    """The conversations, newest first."""
    return await service.page(project_id=project_id, limit=limit, after=after)


@router.get(
    "/conversations/{conversation_id}",
    openapi_extra=requires(Scope.MESSAGES_READ),
    responses=responses(ConversationNotFoundError),
)
async def read_conversation(service: ConversationServiceDep, conversation_id: ConversationId) -> ConversationRead:
    """One conversation."""
    return await service.read(conversation_id)


@router.get(
    "/conversations/{conversation_id}/messages",
    openapi_extra=requires(Scope.MESSAGES_READ),
    responses=responses(ConversationNotFoundError),
)
async def list_messages(
    service: ConversationServiceDep, conversation_id: ConversationId, limit: PageLimit = 50, after: After = None
) -> MessageList:
    """Questions and answers of a conversation, oldest first."""
    return await service.messages(conversation_id, limit=limit, after=after)


@router.delete(
    "/conversations/{conversation_id}",
    openapi_extra=requires(Scope.MESSAGES_WRITE),
    responses=responses(ConversationNotFoundError),
)
async def delete_conversation(service: ConversationServiceDep, conversation_id: ConversationId) -> ConversationDeleted:
    """Delete a conversation with its messages and their feedback. What they cost stays counted.

    A question whose answer is being made ends with 404, and costs nothing.
    """
    return await service.delete(conversation_id)


@router.get(
    "/messages/{message_id}", openapi_extra=requires(Scope.MESSAGES_READ), responses=responses(MessageNotFoundError)
)
async def read_message(service: ConversationServiceDep, message_id: MessageId) -> AnswerRead:
    """An answer that was given before; a duplicate request is pointed here."""
    return await service.read_answer(message_id)


@router.post(
    "/messages/{message_id}/feedback",
    openapi_extra=requires(Scope.MESSAGES_WRITE),
    responses=responses(MessageNotFoundError, MalformedBodyError, BodyTooLargeError),
)
async def give_feedback(
    service: ConversationServiceDep, message_id: MessageId, feedback: FeedbackWrite
) -> FeedbackRead:
    """Say whether an answer helped. An answer has one feedback; another one replaces it."""
    return await service.give_feedback(message_id, feedback)


@router.delete(
    "/messages/{message_id}/feedback",
    status_code=204,
    response_class=Response,
    openapi_extra=requires(Scope.MESSAGES_WRITE),
    responses=responses(MessageNotFoundError),
)
async def withdraw_feedback(service: ConversationServiceDep, message_id: MessageId) -> None:
    """Remove the feedback on an answer."""
    await service.withdraw_feedback(message_id)
