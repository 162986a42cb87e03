"""The table of admin keys."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, StoredKey


class AdminKey(StoredKey, Base):
    """A key for operators of the service. Only the command line creates them, so no key can create another."""

    __tablename__ = "admin_keys"
    __table_args__ = (UniqueConstraint("digest"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
