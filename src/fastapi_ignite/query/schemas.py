"""Shapes of questions and answers."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from fastapi_ignite.http.deps import Text

MAX_QUESTION = 8000


class AskRequest(BaseModel):
    """A question to a project."""

    project_id: UUID
    question: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION)] = Field(
        examples=["What does the onboarding guide cover?"]
    )
    conversation_id: UUID | None = Field(None, description="Continue this conversation of the same project.")


class CitationRead(BaseModel):
    """A verbatim quote of a file. Offsets count code points of the stored text, end exclusive; `page` is 1-based."""

    file_id: UUID
    filename: str
    quote: str
    page: int | None
    char_start: int
    char_end: int
    score: float
    verified: bool = Field(description="The quote was compared with the stored text before the answer left.")


class AskResult(BaseModel):
    """An answer, or an honest refusal (`answerable: false`, no citations)."""

    answer: str
    tokens_in: int
    tokens_out: int
    citations: list[CitationRead]
    message_id: UUID
    conversation_id: UUID
    answerable: bool
    engine: str
