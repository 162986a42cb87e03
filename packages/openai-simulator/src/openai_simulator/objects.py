"""The objects that the service keeps, and the JSON that it shows for each."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, Field

SECONDS_PER_DAY = 86_400

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
AttributeValue = bool | int | float | Annotated[str, Field(max_length=512)]
Attributes = Annotated[dict[Annotated[str, Field(max_length=64)], AttributeValue], Field(max_length=16)]
FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]


def make_id(prefix: str) -> str:
    return f"{prefix}{uuid4().hex}"


def timestamp() -> int:
    return int(time.time())


class StaticChunking(BaseModel):
    """The sizes of chunks, in tokens."""

    max_chunk_size_tokens: int = Field(800, ge=100, le=4096)
    chunk_overlap_tokens: int = Field(400, ge=0, le=2048)


class Failure(BaseModel):
    """The reason why a file could not be indexed."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class StoredFile(BaseModel):
    """An uploaded file without its bytes, which `SimulatorState.content` returns."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None = None

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timestamp()

    def render(self) -> dict[str, Any]:
        shown = self.model_dump()
        return shown | {"object": "file", "status": "processed", "status_details": None}


class ExpiresAfter(BaseModel):
    """A time to live that counts from the last search or change."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class VectorStore(BaseModel):
    """A vector store without its files, which are `StoreFile` objects."""

    id: str
    name: str = ""
    description: str | None = None
    metadata: dict[str, str] = {}
    created_at: int
    last_active_at: int
    expires_after: ExpiresAfter | None = None
    was_expired: bool = False  # set by the control API

    @property
    def expires_at(self) -> int | None:
        after = self.expires_after
        return self.last_active_at + after.days * SECONDS_PER_DAY if after else None

    @property
    def is_expired(self) -> bool:
        return self.was_expired or (self.expires_at is not None and self.expires_at <= timestamp())


class StoreFile(BaseModel):
    """A file that is attached to a store."""

    file_id: str
    vector_store_id: str
    batch_id: str | None = None
    created_at: int
    status: FileStatus = "in_progress"
    last_error: Failure | None = None
    usage_bytes: int = 0
    attributes: dict[str, bool | int | float | str] = {}
    chunking: StaticChunking
    is_stuck: bool = False

    @property
    def key(self) -> str:
        return f"{self.vector_store_id}/{self.file_id}"

    def render(self) -> dict[str, Any]:
        return {
            "id": self.file_id,
            "object": "vector_store.file",
            "usage_bytes": self.usage_bytes,
            "created_at": self.created_at,
            "vector_store_id": self.vector_store_id,
            "status": self.status,
            "last_error": self.last_error.model_dump() if self.last_error else None,
            "chunking_strategy": {"type": "static", "static": self.chunking.model_dump()},
            "attributes": self.attributes,
        }


class FileBatch(BaseModel):
    """A batch: the files that one call attached."""

    id: str
    vector_store_id: str
    created_at: int
    is_cancelled: bool = False


class StoredResponse(BaseModel):
    """A model response, stored as it was sent."""

    id: str
    body: dict[str, Any]


def count_files(files: list[StoreFile]) -> dict[str, int]:
    """Return the `file_counts` of a store or a batch."""
    statuses = [file.status for file in files]
    names: tuple[FileStatus, ...] = ("in_progress", "completed", "failed", "cancelled")
    return {name: statuses.count(name) for name in names} | {"total": len(files)}


def render_store(store: VectorStore, files: list[StoreFile]) -> dict[str, Any]:
    counts = count_files(files)
    status = "expired" if store.is_expired else "in_progress" if counts["in_progress"] else "completed"
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created_at,
        "name": store.name,
        "description": store.description,
        "usage_bytes": sum(file.usage_bytes for file in files),
        "file_counts": counts,
        "status": status,
        "expires_after": store.expires_after.model_dump() if store.expires_after else None,
        "expires_at": store.expires_at,
        "last_active_at": store.last_active_at,
        "metadata": store.metadata,
    }


def render_batch(batch: FileBatch, files: list[StoreFile]) -> dict[str, Any]:
    """Return the JSON of a batch. Its status is `failed` only if all of its files failed."""
    counts = count_files(files)
    if batch.is_cancelled:
        status = "cancelled"
    elif counts["in_progress"]:
        status = "in_progress"
    else:
        status = "failed" if files and counts["failed"] == len(files) else "completed"
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": batch.created_at,
        "vector_store_id": batch.vector_store_id,
        "status": status,
        "file_counts": counts,
    }
