"""Shapes of projects."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from fastapi_ignite.http.fields import Name, no_nul
from fastapi_ignite.projects.models import Project
from fastapi_ignite.projects.repository import ProjectContents

PROJECT_EXAMPLE = "f110f5f6-33a3-4e72-9f8f-84cc0f5f5c0b"


class ProjectCreated(BaseModel):
    """The project, new or not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": PROJECT_EXAMPLE,
                    "tenant_id": "2cb9e69e-6fe7-4f5c-8f4d-5a9c6a2bd5d4",
                    "name": "Docs",
                    "vector_store_id": None,
                    "status": "created",
                }
            ]
        }
    )

    id: UUID
    tenant_id: UUID
    name: str
    vector_store_id: str | None
    status: Literal["created", "exists"]

    @classmethod
    def of(cls, project: Project, *, created: bool) -> ProjectCreated:
        return cls(
            id=project.id,
            tenant_id=project.tenant_id,
            name=project.name,
            vector_store_id=project.vector_store_id,
            status="created" if created else "exists",
        )


# OpenAI's limits of metadata
MOST_KEYS = 16
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(no_nul)]
MetadataText = Annotated[str, StringConstraints(max_length=512), AfterValidator(no_nul)]
MetadataNumber = Annotated[float, Field(allow_inf_nan=False)]
Metadata = Annotated[
    dict[MetadataKey, MetadataText | bool | int | MetadataNumber],
    Field(
        max_length=MOST_KEYS, description="At most 16 keys of at most 64 characters, with texts, numbers or booleans."
    ),
]
_READ_EXAMPLE: dict[str, Any] = {
    "id": PROJECT_EXAMPLE,
    "name": "Docs",
    "metadata": {},
    "engine": None,
    "vector_store_id": None,
    "created_at": "2024-06-02T12:34:56.123456Z",
    "updated_at": "2024-06-02T12:34:56.123456Z",
}


class ProjectRead(BaseModel):
    """A project. `engine` and `vector_store_id` are null until it has an index."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_READ_EXAMPLE, "metadata": {"team": "support"}}]})

    id: UUID
    name: str
    metadata: dict[str, str | bool | int | float]
    engine: str | None
    vector_store_id: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, project: Project) -> ProjectRead:
        """Build it from the row."""
        return cls.model_validate(_columns(project))


class ProjectFiles(BaseModel):
    """The number of the project's files in each status."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class ProjectDetails(ProjectRead):
    """A project and how much it holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_READ_EXAMPLE,
                    "files": {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0},
                    "characters": 0,
                    "stored_bytes": 0,
                }
            ]
        }
    )

    files: ProjectFiles
    characters: int = Field(description="Characters of the completed files, as counted against the plan.")
    stored_bytes: int = Field(description="Stored bytes, with those of removed files whose bytes were kept.")

    @classmethod
    def of_contents(cls, project: Project, contents: ProjectContents) -> ProjectDetails:
        """Build it from the row and what was counted."""
        counts = (contents.in_progress, contents.completed, contents.failed, contents.cancelled)
        return cls.model_validate(
            {
                **_columns(project),
                "files": {
                    "in_progress": contents.in_progress,
                    "completed": contents.completed,
                    "failed": contents.failed,
                    "cancelled": contents.cancelled,
                    "total": sum(counts),
                },
                "characters": contents.characters,
                "stored_bytes": contents.stored_bytes,
            }
        )


class ProjectList(BaseModel):
    """A page of projects, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"projects": [_READ_EXAMPLE], "has_more": False, "next_after": None}]}
    )

    projects: list[ProjectRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")


class ProjectChange(BaseModel):
    """A change of a project. A field that is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "Handbook", "metadata": {"team": "support"}}]}
    )

    name: Name | None = None
    metadata: Metadata | None = Field(None, description="It replaces the present metadata; null removes all of it.")


def _columns(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "metadata": project.own_metadata,
        "engine": project.engine,
        "vector_store_id": project.vector_store_id,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
    }
