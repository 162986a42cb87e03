"""Tables of the audit log. Database privileges and a trigger ensure that rows are never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped


class Event:
    """The columns of an audit event. `target` is the id of the object that was changed."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_kind: Mapped[str]
    actor_id: Mapped[str | None]
    action: Mapped[str]
    target: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    request_id: Mapped[str | None]
    address: Mapped[str | None]


class AuditEvent(TenantScoped, Event, Base):
    """An event of one tenant. It is kept after the tenant was deleted."""

    __tablename__ = "audit_events"


class AdminEvent(Event, Base):
    """An event of the whole service, about a plan or an admin key."""

    __tablename__ = "admin_events"

    id: Mapped[UUID] = mapped_column(primary_key=True)
