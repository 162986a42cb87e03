"""Shapes of conversations, their messages and the feedback on answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from fastapi_ignite.http.fields import no_nul
from fastapi_ignite.projects.schemas import PROJECT_EXAMPLE
from fastapi_ignite.query.models import Message
from fastapi_ignite.query.schemas import ANSWER_EXAMPLE, AskResult, CitationRead

CONVERSATION_EXAMPLE = "b9a6c1de-0a3b-4a39-8f5e-1f2d3c4b5a69"
LONGEST_TITLE = 80
_CONVERSATION: dict[str, Any] = {
    "id": CONVERSATION_EXAMPLE,
    "project_id": PROJECT_EXAMPLE,
    "title": "What does the onboarding guide cover?",
    "message_count": 2,
    "created_at": "2024-06-02T12:34:56.123456Z",
    "last_message_at": "2024-06-02T12:34:57.654321Z",
}
_FEEDBACK: dict[str, Any] = {
    "rating": "down",
    "comment": "The checklist is in chapter two.",
    "updated_at": "2024-06-02T12:40:00.000001Z",
}

_QUESTION: dict[str, Any] = {
    "id": "1f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a77",
    "role": "user",
    "content": "What does the onboarding guide cover?",
    "state": "completed",
    "reply_to": None,
    "citations": [],
    "answerable": None,
    "truncated": None,
    "tokens_in": None,
    "tokens_out": None,
    "tokens_estimated": None,
    "engine": None,
    "feedback": None,
    "created_at": "2024-06-02T12:34:56.123456Z",
}
_ANSWER: dict[str, Any] = {
    "id": ANSWER_EXAMPLE["message_id"],
    "role": "assistant",
    "content": ANSWER_EXAMPLE["answer"],
    "state": "completed",
    "reply_to": _QUESTION["id"],
    **{name: ANSWER_EXAMPLE[name] for name in ("citations", "answerable", "truncated")},
    **{name: ANSWER_EXAMPLE[name] for name in ("tokens_in", "tokens_out", "tokens_estimated", "engine")},
    "feedback": _FEEDBACK,
    "created_at": "2024-06-02T12:34:57.654321Z",
}


class ConversationRead(BaseModel):
    """A thread of questions to one project. `title` is how its first question begins."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CONVERSATION]})

    id: UUID
    project_id: UUID
    title: str
    message_count: int = Field(description="Questions and answers.")
    created_at: datetime
    last_message_at: datetime


class ConversationList(BaseModel):
    """A page of conversations, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"conversations": [_CONVERSATION], "has_more": False, "next_after": None}]}
    )

    conversations: list[ConversationRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")


class FeedbackWrite(BaseModel):
    """A reader says whether an answer helped."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"rating": "down", "comment": "It is in chapter two."}]}
    )

    rating: Literal["up", "down"]
    comment: (
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(no_nul)] | None
    ) = None


class FeedbackRead(BaseModel):
    """The feedback on an answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FEEDBACK]})

    rating: Literal["up", "down"]
    comment: str | None
    updated_at: datetime

    @classmethod
    def of(cls, message: Message) -> FeedbackRead | None:
        """Build it from the answer's row, or return None where there is no feedback."""
        if message.feedback_rating is None:
            return None
        return cls.model_validate(
            {
                "rating": message.feedback_rating,
                "comment": message.feedback_comment,
                "updated_at": message.feedback_at,
            }
        )


class MessageRead(BaseModel):
    """A question (`role` is `user`) or an answer (`assistant`). What only answers have is null in a question."""

    id: UUID
    role: Literal["user", "assistant"]
    content: str
    state: Literal["pending", "completed", "failed", "cancelled"] = Field(
        description="Of a question: `pending` while its answer is made, and `cancelled` if its caller left."
    )
    reply_to: UUID | None = Field(description="The question that this answers.")
    citations: list[CitationRead]
    answerable: bool | None
    truncated: bool | None
    tokens_in: int | None
    tokens_out: int | None
    tokens_estimated: bool | None
    engine: str | None
    feedback: FeedbackRead | None
    created_at: datetime

    @classmethod
    def of(cls, message: Message) -> MessageRead:
        return cls.model_validate(
            {
                "id": message.id,
                "role": message.role,
                "content": message.content,
                "state": message.state,
                "reply_to": message.reply_to,
                "citations": message.citations or [],
                "answerable": message.answerable,
                "truncated": message.truncated,
                "tokens_in": message.tokens_in,
                "tokens_out": message.tokens_out,
                "tokens_estimated": message.tokens_estimated,
                "engine": message.engine,
                "feedback": FeedbackRead.of(message),
                "created_at": message.created_at,
            }
        )


class MessageList(BaseModel):
    """A page of a conversation's messages, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"messages": [_QUESTION], "has_more": True, "next_after": _QUESTION["id"]},
                {"messages": [_QUESTION, _ANSWER], "has_more": False, "next_after": None},
            ]
        }
    )

    messages: list[MessageRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")

    @classmethod
    def of(cls, messages: Sequence[Message], *, limit: int) -> MessageList:
        """Build a page from its rows, and one more row if there is another page."""
        shown = [MessageRead.of(message) for message in messages[:limit]]
        has_more = len(messages) > limit
        return cls(messages=shown, has_more=has_more, next_after=shown[-1].id if has_more else None)


class AnswerRead(AskResult):
    """An answer as it was given, with the feedback on it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**ANSWER_EXAMPLE, "feedback": _FEEDBACK}]})

    feedback: FeedbackRead | None


class ConversationDeleted(BaseModel):
    """The conversation is gone, with its messages and their feedback."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"deleted_conversation_id": CONVERSATION_EXAMPLE, "messages_deleted": 2}]}
    )

    deleted_conversation_id: UUID
    messages_deleted: int


def title_of(question: str | None) -> str:
    """Return how a question begins: its first words, with an ellipsis if there are more."""
    words = (question or "").split()
    title = " ".join(words)
    if len(title) <= LONGEST_TITLE:
        return title
    short = title[: LONGEST_TITLE - 1].rpartition(" ")[0] or title[: LONGEST_TITLE - 1]
    return f"{short}\u2026"
