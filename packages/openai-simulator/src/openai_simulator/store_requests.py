"""The request bodies of vector stores, with their published limits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from openai_simulator.filters import Filter
from openai_simulator.objects import Attributes, ExpiresAfter, Metadata, StaticChunking

FileId = Annotated[str, Field(min_length=1, max_length=100)]
SearchText = Annotated[str, Field(min_length=1, max_length=100_000)]


class Strict(BaseModel):
    """A body that refuses unknown parameters."""

    model_config = ConfigDict(extra="forbid")


class RequestedChunking(StaticChunking):
    """The chunk sizes that a caller sends; both are required."""

    model_config = ConfigDict(extra="forbid")
    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0, le=2048)

    @model_validator(mode="after")
    def _half_at_most(self) -> Self:
        if self.chunk_overlap_tokens * 2 > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens must not exceed half of max_chunk_size_tokens")
        return self


class ChunkingStrategy(Strict):
    """Says how files are split. `auto` means chunks of 800 tokens with an overlap of 400."""

    type: Literal["auto", "static"]
    static: RequestedChunking | None = None

    @model_validator(mode="after")
    def _sizes_with_static(self) -> Self:
        if (self.type == "static") != (self.static is not None):
            raise ValueError("'static' is required with type 'static', and is not allowed otherwise")
        return self

    def sizes(self) -> StaticChunking:
        return StaticChunking.model_validate(self.static.model_dump()) if self.static else StaticChunking()


class AttachedFile(Strict):
    """A file to attach, with its attributes and chunking."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class CreateFileBatch(Strict):
    """Either ids that share attributes and chunking, or files that have their own."""

    file_ids: list[FileId] | None = Field(None, min_length=1, max_length=2000)
    files: list[AttachedFile] | None = Field(None, min_length=1, max_length=2000)
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("send either file_ids or files")
        return self

    def attached(self) -> list[AttachedFile]:
        if self.files is not None:
            return self.files
        return [
            AttachedFile(file_id=file_id, attributes=self.attributes, chunking_strategy=self.chunking_strategy)
            for file_id in self.file_ids or ()
        ]


class UpdateAttributes(Strict):
    """The new attributes of a file, which replace all old ones."""

    attributes: Attributes | None


class CreateVectorStore(Strict):
    """The body that creates a store, empty or with files."""

    name: str | None = Field(None, max_length=256)
    description: str | None = Field(None, max_length=512)
    metadata: Metadata | None = None
    file_ids: list[FileId] | None = Field(None, max_length=500)
    chunking_strategy: ChunkingStrategy | None = None
    expires_after: ExpiresAfter | None = None


class UpdateVectorStore(Strict):
    """The body that changes a store. Parameters that are not sent keep their values."""

    name: str | None = Field(None, max_length=256)
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None


class RankingOptions(Strict):
    """The ranking options of a search. All rankers give the same result."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(0, ge=0, le=1)


class SearchVectorStore(Strict):
    """A search. A chunk is scored by the best of several queries."""

    query: SearchText | Annotated[list[SearchText], Field(min_length=1, max_length=50)]
    max_num_results: int = Field(10, ge=1, le=50)
    rewrite_query: bool = False
    filters: Filter | None = None
    ranking_options: RankingOptions = RankingOptions()

    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query
