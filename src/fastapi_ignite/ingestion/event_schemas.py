"""Defines the events of files and batches."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field

from fastapi_ignite.ingestion.change_feed import ChangedFile
from fastapi_ignite.ingestion.models import public_status
from fastapi_ignite.ingestion.schemas import (
    PERCENTAGES,
    FileCounts,
    FileError,
    Percentage,
    Status,
    outside_status,
)


class PendingProgress(BaseModel):
    """How far the pending version of a file is."""

    number: int
    status: Status
    stage: str
    percentage: Percentage
    last_error: FileError | None


class FileEvent(BaseModel):
    """The data of a `file` event: a file as it is now."""

    id: UUID
    filename: str
    status: Status
    stage: str
    percentage: Percentage
    last_error: FileError | None
    attributes: dict[str, str | bool | int | float]
    version: int
    pending_version: PendingProgress | None = Field(description="How far a new version of the file is.")

    @classmethod
    def of(cls, file: ChangedFile) -> FileEvent:
        pending = file.pending
        return cls.model_validate(
            {
                "id": file.id,
                "filename": file.filename,
                "status": outside_status(file.state),
                "stage": file.state,
                "percentage": PERCENTAGES.get(file.state, 0),
                "last_error": file.last_error,
                "attributes": file.attributes,
                "version": file.version,
                "pending_version": pending
                and {
                    "number": pending.number,
                    "status": public_status(pending.state),
                    "stage": pending.state,
                    "percentage": PERCENTAGES.get(pending.state, 0),
                    "last_error": pending.last_error,
                },
            }
        )


class BatchEvent(BaseModel):
    """The data of a `batch` event: how far the batch is."""

    batch_id: UUID
    batch_status: Status
    file_counts: FileCounts


class DoneEvent(BaseModel):
    """The data of the last event of a file or a batch."""

    status: Status
