"""Shapes of ingestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fastapi_ignite.ingestion.models import GONE, File, public_status
from fastapi_ignite.projects.schemas import PROJECT_EXAMPLE

Status = Literal["in_progress", "completed", "failed", "cancelled"]
FILE_EXAMPLE: JsonDict = {
    "id": "5f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a10",
    "filename": "guide.txt",
    "status": "completed",
    "stage": "completed",
    "bytes": 651,
    "stored_bytes": 651,
    "characters": 651,
    "deduplicated": False,
    "embedded": 1.0,
    "last_error": None,
    "created_at": "2024-06-02T12:34:56.123456Z",
}


class VectorStoreEnsured(BaseModel):
    """The project's index, new or not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"project_id": PROJECT_EXAMPLE, "vector_store_id": "vs_abc123", "status": "created"}]
        }
    )

    project_id: UUID
    vector_store_id: str
    status: Literal["created", "exists"]


class FileError(BaseModel):
    """Why a file failed, or why the last attempt did while the file is in progress and will be tried again.

    `retryable`: the same upload may work later.
    """

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
    stored_bytes: int = Field(
        description="The bytes of storage that the file uses: 0 if the uploaded bytes are not stored any more."
    )
    characters: int | None = Field(description="Counted against the plan; null until the text is extracted.")
    deduplicated: bool = Field(description="The project held the same bytes already: nothing was charged or embedded.")
    embedded: float = Field(ge=0, le=1, description="How much of the file semantic search covers yet.")
    last_error: FileError | None
    created_at: datetime

    @classmethod
    def of(cls, file: File, embedded: Mapping[UUID, float]) -> FileRead:
        """Build it from the row. `embedded` is by document id."""
        return cls.model_validate(
            {
                "id": file.id,
                "filename": file.filename,
                "status": "cancelled" if file.state in GONE else public_status(file.state),
                "stage": file.state,
                "bytes": file.byte_count,
                "stored_bytes": file.stored_bytes,
                "characters": file.char_count,
                "deduplicated": file.deduplicated,
                "embedded": embedded.get(file.document_id, 0.0) if file.document_id else 0.0,
                "last_error": file.last_error,
                "created_at": file.created_at,
            }
        )


class FileCounts(BaseModel):
    """The number of files of the upload in each state."""

    processed: int = 0
    in_progress: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class UploadResult(BaseModel):
    """The upload as far as it came while the caller waited."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": PROJECT_EXAMPLE,
                    "vector_store_id": "vs_abc123",
                    "batch_id": "0d4c1b7a-58f1-4c35-a8a5-0a3f9c2e6d11",
                    "batch_status": "completed",
                    "file_counts": {"processed": 1, "in_progress": 0, "failed": 0, "cancelled": 0, "total": 1},
                    "files": [FILE_EXAMPLE],
                }
            ]
        }
    )

    project_id: UUID
    vector_store_id: str
    batch_id: UUID
    batch_status: Status
    file_counts: FileCounts
    files: list[FileRead]

    @classmethod
    def of(
        cls,
        project_id: UUID,
        vector_store_id: str,
        batch_id: UUID,
        files: Sequence[File],
        embedded: Mapping[UUID, float],
    ) -> UploadResult:
        """Build it from the rows; removed files count as cancelled."""
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
            files=[FileRead.of(file, embedded) for file in files if file.state not in GONE],
        )


def _batch_status(counts: FileCounts) -> Status:
    if counts.in_progress:
        return "in_progress"
    if counts.processed:
        return "completed"
    return "failed" if counts.failed else "cancelled"


class FileList(BaseModel):
    """A page of a project's files."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": PROJECT_EXAMPLE,
                    "vector_store_id": "vs_abc123",
                    "embedded": 1.0,
                    "files": [FILE_EXAMPLE],
                    "has_more": False,
                    "next_after": None,
                }
            ]
        }
    )

    project_id: UUID
    vector_store_id: str | None
    embedded: float = Field(ge=0, le=1, description="How much of the project semantic search covers yet.")
    files: list[FileRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")


class FileRemoved(BaseModel):
    """The file is out of every answer; what it left is removed in the background."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": PROJECT_EXAMPLE,
                    "vector_store_id": "vs_abc123",
                    "removed_file_id": "5f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a10",
                    "delete_raw": False,
                    "deletion_id": "5f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a10",
                }
            ]
        }
    )

    project_id: UUID
    vector_store_id: str | None
    removed_file_id: UUID
    delete_raw: bool
    deletion_id: UUID = Field(description="The receipt: `GET /deletions/{deletion_id}`.")


def failure(*, code: str, message: str, stage: str, retryable: bool, **extra: Any) -> dict[str, Any]:
    """Return a `last_error` as it is stored. Callers do not see `extra`."""
    return {"code": code, "message": message, "stage": stage, "retryable": retryable, **extra}
