"""Defines what the API shows of the versions of a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fastapi_ignite.ingestion.models import File
from fastapi_ignite.ingestion.schemas import FILE_EXAMPLE, FileRead

UPLOADER_EXAMPLE: JsonDict = {"kind": "token", "id": None}


class FileReplaced(FileRead):
    """The file, and how far its new version came while the caller waited."""

    model_config = ConfigDict(json_schema_extra={"examples": [FILE_EXAMPLE | {"unchanged": True}]})

    unchanged: bool = Field(
        description="Nothing was made: the bytes are those of the current version, or of the one in progress."
    )

    @classmethod
    def of_file(cls, file: FileRead, *, unchanged: bool) -> FileReplaced:
        return cls.model_validate({**file.model_dump(), "unchanged": unchanged})


class Uploader(BaseModel):
    """Who uploaded something. `kind` is `token` or `api_key`; `id` is the token's subject or the id of the key."""

    kind: str
    id: str | None


class FileVersion(BaseModel):
    """A version that answers, or that did until `replaced_at`."""

    number: int
    current: bool
    filename: str
    bytes: int
    stored_bytes: int = Field(description="0 if the bytes are not kept any more: then it cannot be restored.")
    sha256: str = Field(description="Of the uploaded bytes, in hexadecimal digits.")
    characters: int | None = Field(description="Counted against the plan for this version.")
    created_at: datetime = Field(description="When it was uploaded or restored.")
    replaced_at: datetime | None
    uploaded_by: Uploader | None = Field(description="Null for files of earlier releases.")

    @classmethod
    def of(cls, version: File) -> FileVersion:
        """Build it from the row that holds the version."""
        kept: dict[str, Any] = {
            "stored_bytes": 0 if version.version_of and version.delete_raw else version.stored_bytes
        }
        return cls.model_validate(
            {
                "number": version.version,
                "current": version.version_of is None,
                "filename": version.filename,
                "bytes": version.byte_count,
                "sha256": version.sha256.hex(),
                "characters": version.char_count,
                "created_at": version.uploaded_at,
                "replaced_at": version.replaced_at,
                "uploaded_by": version.uploaded_by,
                **kept,
            }
        )


class FileVersions(BaseModel):
    """A page of a file's history, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "file_id": FILE_EXAMPLE["id"],
                    "versions": [
                        {
                            "number": 1,
                            "current": True,
                            "filename": "guide.txt",
                            "bytes": 651,
                            "stored_bytes": 651,
                            "sha256": FILE_EXAMPLE["sha256"],
                            "characters": 651,
                            "created_at": "2024-06-02T12:34:56.123456Z",
                            "replaced_at": None,
                            "uploaded_by": UPLOADER_EXAMPLE,
                        },
                    ],
                    "has_more": False,
                    "next_older_than": None,
                }
            ]
        }
    )

    file_id: UUID
    versions: list[FileVersion]
    has_more: bool
    next_older_than: int | None = Field(description="Send it as `older_than` to get the next page.")

    @classmethod
    def of(cls, file_id: UUID, rows: Sequence[File], limit: int) -> FileVersions:
        """Build a page of `limit` versions from rows of which there may be one more."""
        page = rows[:limit]
        more = len(rows) > limit
        return cls(
            file_id=file_id,
            versions=[FileVersion.of(row) for row in page],
            has_more=more,
            next_older_than=page[-1].version if more else None,
        )
