"""Shapes of ingestion."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fastapi_ignite.ingestion.models import File, FileState, public_status

Status = Literal["in_progress", "completed", "failed", "cancelled"]


class ProjectCreated(BaseModel):
    """The project, new or not."""

    id: UUID
    tenant_id: UUID
    name: str
    vector_store_id: str | None
    status: Literal["created", "exists"]


class VectorStoreEnsured(BaseModel):
    """The project's index, new or not."""

    project_id: UUID
    vector_store_id: str
    status: Literal["created", "exists"]


class FileError(BaseModel):
    """Why a file failed. `retryable`: the same upload may work later."""

    code: str
    message: str
    stage: str
    retryable: bool


class FileRead(BaseModel):
    """A file. `stage` is our own, finer word for `status`."""

    id: UUID
    filename: str
    status: Status
    stage: str
    bytes: int
    characters: int | None = Field(description="Counted against the plan; null until the text is extracted.")
    deduplicated: bool = Field(description="The project held the same bytes already: nothing was charged or embedded.")
    embedded: float = Field(ge=0, le=1, description="How much of the file semantic search covers yet.")
    last_error: FileError | None
    created_at: datetime

    @classmethod
    def of(cls, file: File, *, embedded: float = 0.0) -> FileRead:
        """A row as callers see it."""
        return cls.model_validate(
            {
                "id": file.id,
                "filename": file.filename,
                "status": public_status(file.state),
                "stage": file.state,
                "bytes": file.byte_count,
                "characters": file.char_count,
                "deduplicated": file.deduplicated,
                "embedded": embedded,
                "last_error": file.last_error if file.state == FileState.FAILED else None,
                "created_at": file.created_at,
            }
        )


class FileCounts(BaseModel):
    """How many files of the upload are where."""

    processed: int = 0
    in_progress: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class UploadResult(BaseModel):
    """The upload as far as it came while the caller waited."""

    project_id: UUID
    vector_store_id: str
    batch_id: UUID
    batch_status: Status
    file_counts: FileCounts
    files: list[FileRead]

    @classmethod
    def of(cls, project_id: UUID, vector_store_id: str, batch_id: UUID, files: Sequence[File]) -> UploadResult:
        """Removed files count as cancelled."""
        counts = FileCounts(total=len(files))
        for file in files:
            status = public_status(file.state)
            if status == "completed":
                counts.processed += 1
            elif status == "in_progress":
                counts.in_progress += 1
            elif status == "failed":
                counts.failed += 1
            else:
                counts.cancelled += 1
        return cls(
            project_id=project_id,
            vector_store_id=vector_store_id,
            batch_id=batch_id,
            batch_status=_batch_status(counts),
            file_counts=counts,
            files=[FileRead.of(file) for file in files if file.state not in (FileState.DELETING, FileState.DELETED)],
        )


def _batch_status(counts: FileCounts) -> Status:
    if counts.in_progress:
        return "in_progress"
    if counts.processed:
        return "completed"
    return "failed" if counts.failed else "cancelled"


class FileList(BaseModel):
    """A page of a project's files."""

    project_id: UUID
    vector_store_id: str | None
    embedded: float = Field(ge=0, le=1, description="How much of the project semantic search covers yet.")
    files: list[FileRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")


class FileRemoved(BaseModel):
    """The file is out of every answer; what it left is removed in the background."""

    project_id: UUID
    vector_store_id: str | None
    removed_file_id: UUID
    delete_raw: bool


def failure(*, code: str, message: str, stage: str, retryable: bool, **extra: Any) -> dict[str, Any]:
    """A `last_error` as it is stored; `extra` is for our own use."""
    return {"code": code, "message": message, "stage": stage, "retryable": retryable, **extra}
