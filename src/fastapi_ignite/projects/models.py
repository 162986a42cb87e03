"""The project, a named set of documents with an index of its own."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped


class Project(TenantScoped, Timestamped, Base):
    """A project. `engine` and `vector_store_id` are None until an index exists.

    The engine never changes after that; a rebuild changes `vector_store_id`.
    """

    __tablename__ = "projects"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
    )

    name: Mapped[str]
    engine: Mapped[str | None]
    vector_store_id: Mapped[str | None]
