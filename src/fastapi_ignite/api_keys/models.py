"""The table of API keys."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, StoredKey, TenantScoped


class ApiKey(TenantScoped, StoredKey, Base):
    """A key may do what both its role and its scopes allow. If `scopes` is null, only the role counts."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "digest"),
        CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer')", name="role"),
    )

    role: Mapped[str]
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created_by: Mapped[str]
    replaced_by: Mapped[UUID | None]
