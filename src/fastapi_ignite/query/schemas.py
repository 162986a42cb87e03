"""Shapes of questions and answers, searches and results."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from fastapi_ignite.http.fields import NOT_BLANK, no_nul
from fastapi_ignite.query.filters import FILTER_EXAMPLE, Filters
from fastapi_ignite.rag.engine import Citation, FoundPassage

MAX_QUESTION = 8000
MAX_RESULTS = 100
ANSWER_EXAMPLE: dict[str, Any] = {
    "answer": "The onboarding guide covers the account setup checklist.",
    "tokens_in": 128,
    "tokens_out": 64,
    "citations": [
        {
            "file_id": "5f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a10",
            "filename": "guide.txt",
            "version": 1,
            "quote": "Step one of onboarding is connecting your account.",
            "page": None,
            "char_start": 192,
            "char_end": 242,
            "score": 0.82,
            "support": "quoted",
            "verified": True,
        }
    ],
    "message_id": "7d7e3f2c-93a5-4b51-8f0d-6a4c1f0d8e21",
    "conversation_id": "b9a6c1de-0a3b-4a39-8f5e-1f2d3c4b5a69",
    "answerable": True,
    "truncated": False,
    "tokens_estimated": False,
    "engine": "local",
}
# the constraints stand before the validator: after it, the length would be checked before the blanks are stripped
Question = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION),
    AfterValidator(no_nul),
    Field(json_schema_extra=NOT_BLANK),
]


class AskRequest(BaseModel):
    """A question to a project."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": "f110f5f6-33a3-4e72-9f8f-84cc0f5f5c0b",
                    "question": "What does the onboarding guide cover?",
                },
                {
                    "project_id": "f110f5f6-33a3-4e72-9f8f-84cc0f5f5c0b",
                    "question": "What does the onboarding guide cover?",
                    "filters": FILTER_EXAMPLE,
                },
            ]
        }
    )

    project_id: UUID
    question: Question = Field(examples=["What does the onboarding guide cover?"])
    conversation_id: UUID | None = Field(None, description="Continue this conversation of the same project.")
    filters: Filters | None = None
    stream: bool = Field(False, description="Tell the answer while it is made, as server-sent events.")


class SourceRead(BaseModel):
    """The place of a passage. Offsets count code points of the stored text, end exclusive; `page` is 1-based."""

    file_id: UUID
    filename: str
    version: int | None = Field(
        None,
        description="The version of the file; `GET …/text?version=` reads its text while it is the current one. "
        "Null in answers of earlier releases.",
    )
    page: int | None
    char_start: int
    char_end: int
    score: float = Field(description="0 to 1; ranks the passages of one question, and says nothing across questions.")

    @classmethod
    def of(cls, found: FoundPassage | Citation, file_id: UUID, filename: str, version: int, **beside: object) -> Self:
        """Build it for a passage or a citation of the file. `beside` has the fields that a subclass adds."""
        place = {"page": found.page, "char_start": found.char_start, "char_end": found.char_end, "score": found.score}
        return cls.model_validate({"file_id": file_id, "filename": filename, "version": version, **place, **beside})


class CitationRead(SourceRead):
    """A verbatim quote of a file."""

    quote: str
    support: Literal["quoted", "aligned", "retrieved"] = Field(
        "quoted",
        description="`quoted`: the answer's own quote. `aligned`: the piece of the sources that says most of what "
        "the answer says. `retrieved`: of the source the answer names, which is in another language.",
    )
    verified: bool = Field(description="The quote was compared with the stored text before the answer left.")

    @classmethod
    def proven(cls, citation: Citation, file_id: UUID, filename: str, version: int) -> Self:
        """Build it for a citation whose quote was compared with the stored text."""
        beside = {"quote": citation.quote, "support": citation.support, "verified": True}
        return cls.of(citation, file_id, filename, version, **beside)


class AskResult(BaseModel):
    """An answer, or an honest refusal (`answerable: false`, no citations)."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER_EXAMPLE]})

    answer: str
    tokens_in: int
    tokens_out: int
    citations: list[CitationRead]
    message_id: UUID
    conversation_id: UUID
    answerable: bool
    truncated: bool = Field(description="The model was cut at its longest answer.")
    tokens_estimated: bool = Field(description="A provider did not tell its figures; the tokens were counted here.")
    engine: str


class StreamMeta(BaseModel):
    """Event `meta`, the first. The answer will be read again under `message_id`."""

    message_id: UUID
    conversation_id: UUID
    engine: str


class StreamSources(BaseModel):
    """Event `sources`. An answer begins: what an earlier one had told is void."""

    sources: list[SourceRead]


class StreamDelta(BaseModel):
    """Event `delta`: the next words."""

    text: str


class StreamUsage(BaseModel):
    """Event `usage`."""

    tokens_in: int
    tokens_out: int
    tokens_estimated: bool


class SearchRequest(BaseModel):
    """A search in a project."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": "f110f5f6-33a3-4e72-9f8f-84cc0f5f5c0b",
                    "query": "inviting the team",
                    "limit": 3,
                },
                {
                    "project_id": "f110f5f6-33a3-4e72-9f8f-84cc0f5f5c0b",
                    "query": "inviting the team",
                    "filters": FILTER_EXAMPLE,
                },
            ]
        }
    )

    project_id: UUID
    query: Question = Field(examples=["inviting the team"])
    filters: Filters | None = None
    limit: int = Field(10, ge=1, le=MAX_RESULTS, description="The most results. OpenAI's engine has at most 50.")
    per_file: int | None = Field(
        None, ge=1, le=MAX_RESULTS, description="The most results of one file, its best ones. Default: no limit."
    )


class PassageRead(SourceRead):
    """A stretch of a file, verbatim."""

    text: str


class SearchResult(BaseModel):
    """Passages, best first; none where nothing was found."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {
                            "file_id": "5f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a10",
                            "filename": "guide.txt",
                            "version": 1,
                            "text": "Step one of onboarding is connecting your account.",
                            "page": None,
                            "char_start": 192,
                            "char_end": 242,
                            "score": 1.0,
                        }
                    ],
                    "engine": "local",
                }
            ]
        }
    )

    results: list[PassageRead]
    engine: str
