"""The demo item."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, Timestamped


class Item(Timestamped, Base):
    """A public row of the demo catalogue. It belongs to no tenant."""

    __tablename__ = "items"
    __table_args__ = (
        Index("ix_items_created_at_id", "created_at", "id"),
        {"info": {"optional_indexes": {"ix_items_trigram"}}},  # only where the server has pg_trgm
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    is_active: Mapped[bool]
