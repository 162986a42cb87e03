"""What was done, by whom, to what. Rows are never changed: grants and a trigger see to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped


class Event:
    """`target` is the id of what the action was done to."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_kind: Mapped[str]
    actor_id: Mapped[str | None]
    action: Mapped[str]
    target: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    request_id: Mapped[str | None]
    address: Mapped[str | None]


class AuditEvent(TenantScoped, Event, Base):
    """Of one tenant. It outlives the tenant."""

    __tablename__ = "audit_events"


class AdminEvent(Event, Base):
    """Of the whole service: plans, admin keys."""

    __tablename__ = "admin_events"

    id: Mapped[UUID] = mapped_column(primary_key=True)
