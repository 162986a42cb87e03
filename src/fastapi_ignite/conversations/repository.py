"""SQL of conversations, as their readers need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, String, cast, delete, func, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from fastapi_ignite.core import clock
from fastapi_ignite.infra.idempotency.models import IdempotencyKey
from fastapi_ignite.query.models import Conversation, Message

# enough of a question for its title
_BEGINNING = 400


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation with what is counted and taken from its messages. `beginning` is how its first question begins."""

    id: UUID
    project_id: UUID
    created_at: datetime
    beginning: str | None
    message_count: int
    last_message_at: datetime | None


class ConversationRepo:
    """The conversations of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def page(self, *, project_id: UUID | None, limit: int, after: UUID | None) -> list[ConversationSummary]:
        """Return a page, newest first. Ids grow with time, so new conversations do not move the pages."""
        conditions = [] if project_id is None else [Conversation.project_id == project_id]
        if after is not None:
            conditions.append(Conversation.id < after)
        return await self._summaries(*conditions, limit=limit)

    async def get(self, conversation_id: UUID) -> ConversationSummary | None:
        found = await self._summaries(Conversation.id == conversation_id, limit=1)
        return found[0] if found else None

    async def _summaries(self, *conditions: ColumnElement[bool], limit: int) -> list[ConversationSummary]:
        page = (
            select(Conversation)
            .where(Conversation.tenant_id == self._tenant_id, *conditions)
            .order_by(Conversation.id.desc())
            .limit(limit)
            .subquery()
        )
        conversation = aliased(Conversation, page)
        own = (Message.tenant_id == self._tenant_id, Message.conversation_id == conversation.id)
        first = (
            select(func.left(Message.content, _BEGINNING))
            .where(*own, Message.role == "user")
            .order_by(Message.created_at, Message.id)
            .limit(1)
            .scalar_subquery()
        )
        counted = (
            select(func.count().label("messages"), func.max(Message.created_at).label("last")).where(*own).lateral()
        )
        rows = await self._session.execute(
            select(
                conversation.id,
                conversation.project_id,
                conversation.created_at,
                first,
                counted.c.messages,
                counted.c.last,
            )
            .join(counted, true())
            .order_by(conversation.id.desc())
        )
        return [ConversationSummary(*row) for row in rows]

    async def messages(self, conversation_id: UUID, *, limit: int, after: UUID | None) -> Sequence[Message]:
        """Return a page of the messages, oldest first; none after a message of another conversation."""
        own = (Message.tenant_id == self._tenant_id, Message.conversation_id == conversation_id)
        statement = select(Message).where(*own)
        if after is not None:
            last = aliased(Message)
            place = select(last.created_at, last.id).where(
                last.tenant_id == self._tenant_id, last.conversation_id == conversation_id, last.id == after
            )
            statement = statement.where(tuple_(Message.created_at, Message.id) > place.scalar_subquery())
        ordered = statement.order_by(Message.created_at, Message.id).limit(limit)
        return (await self._session.scalars(ordered)).all()

    async def lock(self, conversation_id: UUID) -> bool:
        """Lock the conversation until the transaction ends. Return False if there is none.

        Whoever adds a message or settles an answer waits, and finds out afterwards what became of the conversation.
        """
        found = await self._session.scalar(
            select(Conversation.id)
            .where(Conversation.tenant_id == self._tenant_id, Conversation.id == conversation_id)
            .with_for_update()
        )
        return found is not None

    async def reservations(self, conversation_id: UUID) -> Sequence[UUID]:
        """Lock the questions whose answers are being made, and return what they hold of the plan."""
        pending = await self._session.scalars(
            select(Message.reservation_id)
            .where(
                Message.tenant_id == self._tenant_id,
                Message.conversation_id == conversation_id,
                Message.state == "pending",
                Message.reservation_id.is_not(None),
            )
            .order_by(Message.id)
            .with_for_update()
        )
        return [each for each in pending if each is not None]

    async def forget_responses(self, conversation_id: UUID) -> None:
        """Forget the answers that idempotency keys would repeat.

        Keys whose window is over repeat nothing. They are left alone: a question that takes one locks it before its
        conversation, and could deadlock with this.
        """
        answers = select(cast(Message.id, String)).where(
            Message.tenant_id == self._tenant_id, Message.conversation_id == conversation_id
        )
        await self._session.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.tenant_id == self._tenant_id,
                IdempotencyKey.answer.is_not(None),
                IdempotencyKey.expires_at > clock.now(),
                func.right(IdempotencyKey.resource, 36).in_(answers),  # a resource ends with the id of its answer
            )
            .values(answer=None, answer_status=None)
            .execution_options(synchronize_session=False)
        )

    async def delete(self, conversation_id: UUID) -> int:
        """Delete the conversation with its messages. Return the number of messages."""
        gone = await self._session.scalars(
            delete(Message)
            .where(Message.tenant_id == self._tenant_id, Message.conversation_id == conversation_id)
            .returning(Message.id)
        )
        count = len(gone.all())
        await self._session.execute(
            delete(Conversation).where(Conversation.tenant_id == self._tenant_id, Conversation.id == conversation_id)
        )
        return count

    async def set_feedback(self, message_id: UUID, *, rating: str | None, comment: str | None) -> Message | None:
        """Store the feedback on an answer, or remove it with None. Return the answer, or None if it is no answer."""
        return (
            await self._session.execute(
                update(Message)
                .where(Message.tenant_id == self._tenant_id, Message.id == message_id, Message.role == "assistant")
                .values(
                    feedback_rating=rating,
                    feedback_comment=comment,
                    feedback_at=None if rating is None else func.now(),
                    updated_at=Message.updated_at,
                )
                .returning(Message)
            )
        ).scalar_one_or_none()
