"""SQL of conversations and messages."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.query.models import Conversation, Message


class MessageRepo:
    """The conversations of one tenant."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def keep_conversation(self, conversation_id: UUID, project_id: UUID) -> bool:
        """Let nobody delete the conversation until the transaction ends. Return False if the project has none.

        It is locked before its messages and before the counters, as a deletion does: the other order could deadlock.
        """
        found = await self._session.scalar(
            select(Conversation.id)
            .where(
                Conversation.tenant_id == self._tenant_id,
                Conversation.id == conversation_id,
                Conversation.project_id == project_id,
            )
            .with_for_update(read=True, key_share=True)
        )
        return found is not None

    async def answer(self, message_id: UUID) -> Message | None:
        """Return the answer, or None where the id is that of a question."""
        return (
            await self._session.execute(
                select(Message).where(
                    Message.tenant_id == self._tenant_id, Message.id == message_id, Message.role == "assistant"
                )
            )
        ).scalar_one_or_none()

    async def add(self, row: Conversation | Message) -> None:
        """Insert the row at once, so that rows that refer to it may follow."""
        self._session.add(row)
        await self._session.flush()

    async def end_question(self, message_id: UUID, state: str, **values: object) -> bool:
        """Set the state of a pending question. Return False if it is not pending any more."""
        row = await self._session.execute(
            update(Message)
            .where(Message.tenant_id == self._tenant_id, Message.id == message_id, Message.state == "pending")
            .values(state=state, **values)
            .returning(Message.id)
        )
        return row.first() is not None


async def fail_abandoned(session: AsyncSession, *, before: datetime) -> None:
    """Fail the questions whose process died; their units expire by themselves. It needs a system transaction."""
    await session.execute(
        update(Message).where(Message.state == "pending", Message.created_at < before).values(state="failed")
    )
