"""This module defines the errors of questions and searches."""

from __future__ import annotations

from fastapi_ignite.core.errors import Example, IgniteError, NotFoundError, UnavailableError


class ConversationNotFoundError(NotFoundError):
    """The id is unknown, another tenant's, or that of a conversation about another project."""

    code = "conversation_not_found"
    title = "Unknown conversation"
    example = Example("This project has no conversation with this id.")


class MessageNotFoundError(NotFoundError):
    """The id is unknown, another tenant's, or that of no answer."""

    code = "message_not_found"
    title = "Unknown message"
    example = Example("This tenant has no answer with this id.")


class AnswerAbandonedError(UnavailableError):
    """The answer came after its unit had expired; nothing was charged."""

    code = "answer_timeout"
    title = "The answer took too long"
    example = Example("The answer took too long; nothing was charged.")


class SourcesChangedError(UnavailableError):
    """Files were removed or changed while each answer or search was made; nothing was charged."""

    code = "sources_changed"
    title = "The project's files are changing"
    example = Example("Files were changed while they were read; nothing was charged.")


class ClientDisconnectedError(IgniteError):
    """The client closed the connection before the answer came. Only logs show it."""

    status = 499
    code = "caller_left"
    title = "The caller left"
