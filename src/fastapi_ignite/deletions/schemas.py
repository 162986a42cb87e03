"""Shapes of deletions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from fastapi_ignite.deletions.models import Deletion

DELETION_EXAMPLE = "f110f5f6-33a3-4e72-9f8f-84cc0f5f5c0b"
_EXAMPLE: dict[str, Any] = {
    "id": DELETION_EXAMPLE,
    "kind": "project",
    "project_id": DELETION_EXAMPLE,
    "state": "completed",
    "requested_at": "2024-06-02T12:34:56.123456Z",
    "completed_at": "2024-06-02T12:34:58.123456Z",
    "removed": {
        "files": 12,
        "chunks": 340,
        "bytes": 1048576,
        "conversations": 3,
        "messages": 18,
        "provider_objects": 0,
        "projects": 1,
        "exports": 0,
        "other_rows": 0,
    },
    "kept_events": 0,
    "provider_ids": [],
    "last_error": None,
}

_TENANT_EXAMPLE: dict[str, Any] = {
    **_EXAMPLE,
    "id": "2cb9e69e-6fe7-4f5c-8f4d-5a9c6a2bd5d4",
    "kind": "tenant",
    "project_id": None,
    "kept_events": 5,
}


class DeletionError(BaseModel):
    """Why the last attempt to remove everything did not end. It is tried again."""

    code: str
    message: str


class Removed(BaseModel):
    """These counts say what was removed so far. `bytes` are those of uploaded files and of archives in storage."""

    files: int
    chunks: int
    bytes: int
    conversations: int
    messages: int
    provider_objects: int
    projects: int
    exports: int
    other_rows: int = Field(description="Rows of an erased tenant that no other number counts.")


class DeletionRead(BaseModel):
    """The receipt of a deletion. Its `id` is the id of what was deleted, which nobody sees any more."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**_EXAMPLE, "state": "in_progress", "completed_at": None},
                _EXAMPLE,
                {**_TENANT_EXAMPLE, "state": "in_progress", "completed_at": None},
                _TENANT_EXAMPLE,
            ]
        }
    )

    id: UUID
    kind: Literal["file", "project", "tenant"]
    project_id: UUID | None = Field(description="The project, or the project of the file. null for a tenant.")
    state: Literal["in_progress", "completed"]
    requested_at: datetime
    completed_at: datetime | None
    removed: Removed
    kept_events: int = Field(description="Events that the audit keeps of an erased tenant, without personal data.")
    provider_ids: list[str] = Field(description="Ids of objects that were removed at a provider, 1,000 at most.")
    last_error: DeletionError | None

    @classmethod
    def of(cls, deletion: Deletion) -> DeletionRead:
        """Build it from the row."""
        counts = {name: getattr(deletion, name) for name in Removed.model_fields}
        return cls.model_validate(
            {
                "id": deletion.id,
                "kind": deletion.kind,
                "project_id": deletion.project_id,
                "state": deletion.state,
                "requested_at": deletion.created_at,
                "completed_at": deletion.completed_at,
                "removed": counts,
                "kept_events": deletion.kept_events,
                "provider_ids": deletion.provider_ids,
                "last_error": deletion.last_error,
            }
        )


class DeletionList(BaseModel):
    """A page of deletions, ordered by the id of what was deleted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"deletions": [_EXAMPLE], "has_more": True, "next_after": DELETION_EXAMPLE}]}
    )

    deletions: list[DeletionRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")

    @classmethod
    def of(cls, rows: Sequence[Deletion], limit: int) -> DeletionList:
        """Build it from the rows of the page and, if there is one, the row after it."""
        shown = [DeletionRead.of(row) for row in rows[:limit]]
        has_more = len(rows) > limit
        return cls(deletions=shown, has_more=has_more, next_after=shown[-1].id if has_more else None)
