"""Shapes of projects."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from fastapi_ignite.projects.models import Project

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
