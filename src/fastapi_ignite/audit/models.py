"""Defines the tables of the audit log. Database privileges and a trigger ensure that rows are never changed.

Only two functions of the database get past the trigger, for erased tenants and for old events (`audit/repository.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, func
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
    """An event of one tenant. Of an erased tenant the function `erase_events` keeps a few, without personal data."""

    __tablename__ = "audit_events"
    # events come in the order of time, so a few pages of this kind of index are enough to find the oldest
    __table_args__ = (Index("ix_audit_events_created_at", "created_at", postgresql_using="brin"),)


class AdminEvent(Event, Base):
    """An event of the whole service, about a plan or an admin key."""

    __tablename__ = "admin_events"
    __table_args__ = (Index("ix_admin_events_created_at", "created_at", postgresql_using="brin"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
