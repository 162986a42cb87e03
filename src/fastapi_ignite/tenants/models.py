"""The tenant."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, Timestamped


class Tenant(Timestamped, Base):
    """The customer. `plan_id` and `billing_cycle` are copies; billing updates them with the subscription."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    plan_id: Mapped[str]
    billing_cycle: Mapped[str]
    suspended_at: Mapped[datetime | None]
    suspension_reason: Mapped[str | None]
