"""The project, a named set of documents with an index of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped


class Project(TenantScoped, Timestamped, Base):
    """A project. `engine` and `vector_store_id` are None until an index exists.

    The engine never changes after that; a rebuild changes `vector_store_id`. With `deleted_at` nobody sees the project
    or, by a policy of the tables, its files, documents and conversations; a worker removes them, and then the row.
    """

    __tablename__ = "projects"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        Index("ix_projects_deleted", "tenant_id", postgresql_where=text("deleted_at IS NOT NULL")),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
    )

    name: Mapped[str]
    engine: Mapped[str | None]
    vector_store_id: Mapped[str | None]
    own_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    deleted_at: Mapped[datetime | None]
