"""Shape of an export."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from fastapi_ignite.exports.models import Export, ExportState

EXPORT_EXAMPLE = "3e5d1c7a-9a0e-4f3b-8a6d-2b7c4e1f5a90"


class ExportError(BaseModel):
    """Why an export failed. `retryable`: a new one may succeed."""

    code: str
    message: str
    retryable: bool


class ExportRead(BaseModel):
    """An export and how far it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": EXPORT_EXAMPLE,
                    "status": "queued",
                    "include_files": False,
                    "bytes": None,
                    "sha256": None,
                    "last_error": None,
                    "created_at": "2024-06-02T12:34:56.123456Z",
                    "completed_at": None,
                    "expires_at": None,
                },
                {
                    "id": EXPORT_EXAMPLE,
                    "status": "completed",
                    "include_files": False,
                    "bytes": 48213,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "last_error": None,
                    "created_at": "2024-06-02T12:34:56.123456Z",
                    "completed_at": "2024-06-02T12:34:58.654321Z",
                    "expires_at": "2024-06-09T12:34:58.654321Z",
                },
            ]
        }
    )

    id: UUID
    status: Literal["queued", "running", "completed", "failed"]
    include_files: bool = Field(description="Whether the archive holds the uploaded bytes too.")
    bytes: int | None = Field(description="Size of the archive; null until it is completed.")
    sha256: str | None = Field(description="Of the archive, in hexadecimal.")
    last_error: ExportError | None
    created_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None = Field(description="When the archive is removed.")

    @classmethod
    def of(cls, export: Export) -> ExportRead:
        """Build it from the row."""
        return cls.model_validate(
            {
                "id": export.id,
                "status": export.state,
                "include_files": export.include_files,
                "bytes": export.byte_count,
                "sha256": export.sha256.hex() if export.sha256 else None,
                "last_error": export.last_error if export.state == ExportState.FAILED else None,
                "created_at": export.created_at,
                "completed_at": export.completed_at,
                "expires_at": export.expires_at,
            }
        )
