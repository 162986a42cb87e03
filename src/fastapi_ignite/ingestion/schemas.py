"""Shapes of ingestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fastapi_ignite.ingestion.attributes import Attributes
from fastapi_ignite.ingestion.models import GONE, File, FileState, public_status
from fastapi_ignite.ingestion.version_repository import VersionsOfFile
from fastapi_ignite.projects.schemas import PROJECT_EXAMPLE
from fastapi_ignite.rag.documents.repository import DocumentFormat

BATCH_EXAMPLE = "0d4c1b7a-58f1-4c35-a8a5-0a3f9c2e6d11"
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
    "percentage": 100,
    "attempts": 1,
    "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
    "batch_id": BATCH_EXAMPLE,
    "media_type": "text/plain",
    "pages": None,
    "attributes": {"department": "support"},
    "updated_at": "2024-06-02T12:34:58.654321Z",
    "version": 1,
    "pending_version": None,
}
# What is done when a stage begins. Extraction takes most of the time; `embedded` has its own figure.
PERCENTAGES: Mapping[str, int] = {
    FileState.QUEUED: 0,
    FileState.EXTRACTING: 10,
    FileState.CHUNKING: 60,
    FileState.INDEXING: 90,
    FileState.COMPLETED: 100,
}
Percentage = Annotated[
    int,
    Field(
        ge=0,
        le=100,
        description="By stage: queued 0, extracting 10, chunking 60, indexing 90, completed 100. "
        "It is 0 for a file that failed, was cancelled or was removed, because nothing of it is searchable.",
    ),
]


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


class PendingVersion(BaseModel):
    """A new version of a file that is in progress or has failed. The current version answers meanwhile."""

    number: int
    filename: str
    bytes: int
    status: Status
    stage: str
    percentage: Percentage
    attempts: int
    last_error: FileError | None
    uploaded_at: datetime

    @classmethod
    def of(cls, version: File) -> PendingVersion:
        """Build it from the row of a version."""
        return cls.model_validate(
            {
                "number": version.version,
                "filename": version.filename,
                "bytes": version.byte_count,
                "status": public_status(version.state),
                "stage": version.state,
                "percentage": PERCENTAGES.get(version.state, 0),
                "attempts": version.attempts,
                "last_error": version.last_error,
                "uploaded_at": version.uploaded_at,
            }
        )


class FileRead(BaseModel):
    """A file. `stage` is our own, finer word for `status`."""

    model_config = ConfigDict(json_schema_extra={"examples": [FILE_EXAMPLE]})

    id: UUID
    filename: str
    status: Status
    stage: str
    bytes: int
    stored_bytes: int = Field(
        description="The bytes of storage that the file uses with all its versions: 0 if none are stored any more."
    )
    characters: int | None = Field(description="Counted against the plan; null until the text is extracted.")
    deduplicated: bool = Field(description="The project held the same bytes already: nothing was charged or embedded.")
    embedded: float = Field(ge=0, le=1, description="How much of the file semantic search covers yet.")
    last_error: FileError | None
    created_at: datetime
    percentage: Percentage
    attempts: int = Field(description="How often a worker began with the file since it was uploaded or retried.")
    sha256: str = Field(description="Of the uploaded bytes, in hexadecimal digits.")
    batch_id: UUID
    media_type: str | None = Field(description="Recognised by the content; null until the file is completed.")
    pages: int | None = Field(description="Null until the file is completed, and for formats without pages.")
    attributes: dict[str, str | bool | int | float] = Field(description="Given at upload or by `PATCH`.")
    updated_at: datetime = Field(description="It also moves while a worker works on the file.")
    version: int = Field(description="The number of the version that answers; the first one is 1.")
    pending_version: PendingVersion | None = Field(
        description="The version that will take its place, or that failed to. Null where there is none."
    )

    @classmethod
    def of(
        cls,
        file: File,
        embedded: Mapping[UUID, float],
        formats: Mapping[UUID, DocumentFormat],
        versions: VersionsOfFile | None = None,
    ) -> FileRead:
        """Build it from the row. `embedded` and `formats` are by document id."""
        pending = versions.pending if versions else None
        known = formats.get(file.document_id) if file.document_id else None
        return cls.model_validate(
            {
                "id": file.id,
                "filename": file.filename,
                "status": outside_status(file.state),
                "stage": file.state,
                "bytes": file.byte_count,
                "stored_bytes": file.stored_bytes + (versions.stored_bytes if versions else 0),
                "characters": file.char_count,
                "deduplicated": file.deduplicated,
                "embedded": embedded.get(file.document_id, 0.0) if file.document_id else 0.0,
                "last_error": file.last_error,
                "created_at": file.created_at,
                "percentage": PERCENTAGES.get(file.state, 0),
                "attempts": file.attempts,
                "sha256": file.sha256.hex(),
                "batch_id": file.batch_id,
                "media_type": known.media_type if known else None,
                "pages": known.pages if known else None,
                "attributes": file.attributes,
                "updated_at": file.updated_at,
                "version": file.version,
                "pending_version": PendingVersion.of(pending) if pending else None,
            }
        )


class FileChange(BaseModel):
    """A change of a file. A field that is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"attributes": {"department": "support", "year": 2024}}]}
    )

    attributes: Attributes | None = Field(None, description="They replace the present ones; null removes them all.")


def outside_status(state: str) -> str:
    """Return the status that callers see; a removed file is a cancelled one."""
    return "cancelled" if state in GONE else public_status(state)


class FileCounts(BaseModel):
    """The number of files of the upload in each state."""

    processed: int = 0
    in_progress: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0

    @classmethod
    def of(cls, states: Mapping[str, int]) -> FileCounts:
        """Sum up the numbers of files in each state; removed files count as cancelled."""
        counts = cls(total=sum(states.values()))
        for state, number in states.items():
            status = outside_status(state)
            if status == "completed":
                counts.processed += number
            elif status == "in_progress":
                counts.in_progress += number
            elif status == "failed":
                counts.failed += number
            else:
                counts.cancelled += number
        return counts

    @property
    def status(self) -> Status:
        """The status of the whole batch."""
        if self.in_progress:
            return "in_progress"
        if self.processed:
            return "completed"
        return "failed" if self.failed else "cancelled"


class UploadResult(BaseModel):
    """The upload as far as it came while the caller waited."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": PROJECT_EXAMPLE,
                    "vector_store_id": "vs_abc123",
                    "batch_id": BATCH_EXAMPLE,
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
        counts: FileCounts,
        files: Sequence[FileRead],
    ) -> UploadResult:
        return cls(
            project_id=project_id,
            vector_store_id=vector_store_id,
            batch_id=batch_id,
            batch_status=counts.status,
            file_counts=counts,
            files=list(files),
        )


class BatchRead(UploadResult):
    """An upload as it stands now, with a page of its files. The counts are those of all its files."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": PROJECT_EXAMPLE,
                    "vector_store_id": "vs_abc123",
                    "batch_id": BATCH_EXAMPLE,
                    "batch_status": "completed",
                    "file_counts": {"processed": 1, "in_progress": 0, "failed": 0, "cancelled": 0, "total": 1},
                    "files": [FILE_EXAMPLE],
                    "has_more": False,
                    "next_after": None,
                }
            ]
        }
    )

    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")


class FileText(BaseModel):
    """A part of a file's stored text. Offsets count code points; `end` is exclusive."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "file_id": FILE_EXAMPLE["id"],
                    "version": 1,
                    "start": 0,
                    "end": 16,
                    "total": 651,
                    "start_page": None,
                    "end_page": None,
                    "text": "Onboarding guide",
                }
            ]
        }
    )

    file_id: UUID
    version: int
    start: int
    end: int
    total: int = Field(description="The number of characters of the whole text.")
    start_page: int | None = Field(description="The page of the first character; null for formats without pages.")
    end_page: int | None = Field(description="The page of the last character.")
    text: str


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
