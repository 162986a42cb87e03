"""Lists and deletes conversations, and keeps the feedback on answers."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.audit.actions import Action
from fastapi_ignite.audit.service import AuditLog
from fastapi_ignite.conversations.repository import ConversationRepo, ConversationSummary
from fastapi_ignite.conversations.schemas import (
    AnswerRead,
    ConversationDeleted,
    ConversationList,
    ConversationRead,
    FeedbackRead,
    FeedbackWrite,
    MessageList,
    title_of,
)
from fastapi_ignite.projects.service import ProjectService
from fastapi_ignite.query.errors import ConversationNotFoundError, MessageNotFoundError
from fastapi_ignite.query.repository import MessageRepo
from fastapi_ignite.query.service import as_result
from fastapi_ignite.usage.service import UsageService

NO_CONVERSATION = "This tenant has no conversation with this id."
NO_ANSWER = "This tenant has no answer with this id."


class ConversationService:
    """The conversations of one tenant. It works in the caller's transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._conversations = ConversationRepo(session, tenant_id)

    async def page(self, *, project_id: UUID | None, limit: int, after: UUID | None) -> ConversationList:
        """Return a page of conversations, newest first; with a project those about it.

        Raises:
            ProjectNotFoundError: The id of the project is unknown or another tenant's.
        """
        if project_id is not None:
            await ProjectService(self._session, self._tenant_id).get(project_id)
        rows = await self._conversations.page(project_id=project_id, limit=limit + 1, after=after)
        shown = [_read(row) for row in rows[:limit]]
        has_more = len(rows) > limit
        return ConversationList(conversations=shown, has_more=has_more, next_after=shown[-1].id if has_more else None)

    async def read(self, conversation_id: UUID) -> ConversationRead:
        """Return the conversation.

        Raises:
            ConversationNotFoundError: The id is unknown or another tenant's.
        """
        row = await self._conversations.get(conversation_id)
        if row is None:
            raise ConversationNotFoundError(NO_CONVERSATION)
        return _read(row)

    async def messages(self, conversation_id: UUID, *, limit: int, after: UUID | None) -> MessageList:
        """Return a page of the conversation's messages, oldest first.

        Raises:
            ConversationNotFoundError: The id is unknown or another tenant's.
        """
        await self.read(conversation_id)
        found = await self._conversations.messages(conversation_id, limit=limit + 1, after=after)
        return MessageList.of(found, limit=limit)

    async def delete(self, conversation_id: UUID) -> ConversationDeleted:
        """Delete the conversation. Questions whose answers are being made end, and cost nothing.

        Raises:
            ConversationNotFoundError: The id is unknown or another tenant's.
        """
        if not await self._conversations.lock(conversation_id):
            raise ConversationNotFoundError(NO_CONVERSATION)
        for reservation_id in await self._conversations.reservations(conversation_id):
            await UsageService(self._session, self._tenant_id).release(reservation_id)
        await self._conversations.forget_responses(conversation_id)
        count = await self._conversations.delete(conversation_id)
        AuditLog(self._session).record(self._tenant_id, Action.CONVERSATION_DELETED, conversation_id, messages=count)
        return ConversationDeleted(deleted_conversation_id=conversation_id, messages_deleted=count)

    async def read_answer(self, message_id: UUID) -> AnswerRead:
        """Return an answer as it was given, with its feedback. This costs nothing.

        Raises:
            MessageNotFoundError: The id is unknown, another tenant's, or that of a question.
        """
        message = await MessageRepo(self._session, self._tenant_id).answer(message_id)
        if message is None:
            raise MessageNotFoundError(NO_ANSWER)
        return AnswerRead(**as_result(message).model_dump(), feedback=FeedbackRead.of(message))

    async def give_feedback(self, message_id: UUID, feedback: FeedbackWrite) -> FeedbackRead:
        """Store the feedback on an answer, in place of an earlier one.

        Raises:
            MessageNotFoundError: The id is unknown, another tenant's, or that of a question.
        """
        message = await self._conversations.set_feedback(
            message_id, rating=feedback.rating, comment=feedback.comment or None
        )
        stored = FeedbackRead.of(message) if message else None
        if stored is None:
            raise MessageNotFoundError(NO_ANSWER)
        return stored

    async def withdraw_feedback(self, message_id: UUID) -> None:
        """Remove the feedback on an answer; nothing happens where there is none.

        Raises:
            MessageNotFoundError: The id is unknown, another tenant's, or that of a question.
        """
        if await self._conversations.set_feedback(message_id, rating=None, comment=None) is None:
            raise MessageNotFoundError(NO_ANSWER)


def _read(row: ConversationSummary) -> ConversationRead:
    return ConversationRead(
        id=row.id,
        project_id=row.project_id,
        title=title_of(row.beginning),
        message_count=row.message_count,
        created_at=row.created_at,
        last_message_at=row.last_message_at or row.created_at,
    )
