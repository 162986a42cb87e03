"""Conversations and their messages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped

# a question holds its unit of the plan for at most this long
RESERVATION_LIFETIME = timedelta(minutes=5)


class Conversation(TenantScoped, Timestamped, Base):
    """A thread of questions to one project."""

    __tablename__ = "conversations"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE"),
        Index("ix_conversations_project", "tenant_id", "project_id", "id"),
    )

    project_id: Mapped[UUID]


class Message(TenantScoped, Timestamped, Base):
    """A question or an answer. A question is `pending` while its answer is made, and `cancelled` if its caller left.

    `citations` holds the citations as the caller got them. The tokens are in the row of the answer. Where there is no
    answer but tokens were spent, they are in the row of the question. An answer may have a reader's feedback.
    """

    __tablename__ = "messages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "conversation_id"], ["conversations.tenant_id", "conversations.id"], ondelete="CASCADE"
        ),
        CheckConstraint("role IN ('user', 'assistant')", name="role"),
        CheckConstraint("state IN ('pending', 'completed', 'failed', 'cancelled')", name="state"),
        CheckConstraint("feedback_rating IN ('up', 'down')", name="feedback_rating"),
        Index("ix_messages_conversation", "tenant_id", "conversation_id", "created_at"),
        Index("ix_messages_pending", "created_at", postgresql_where=text("state = 'pending'")),
    )

    conversation_id: Mapped[UUID]
    role: Mapped[str]
    content: Mapped[str]
    state: Mapped[str]
    reply_to: Mapped[UUID | None]
    reservation_id: Mapped[UUID | None]
    engine: Mapped[str | None]
    answerable: Mapped[bool | None]
    citations: Mapped[list[Any] | None] = mapped_column(JSONB)
    tokens_in: Mapped[int | None]
    tokens_out: Mapped[int | None]
    tokens_cached: Mapped[int | None]
    tokens_reasoning: Mapped[int | None]
    tokens_estimated: Mapped[bool | None]
    truncated: Mapped[bool | None]
    feedback_rating: Mapped[str | None]
    feedback_comment: Mapped[str | None]
    feedback_at: Mapped[datetime | None]
