"""Responses of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from fastapi_ignite.audit.models import AdminEvent, AuditEvent

EVENT_EXAMPLE: dict[str, Any] = {
    "id": "01932c5e-7d7c-7b1e-9a51-3c8d5f1f7a10",
    "created_at": "2024-06-02T12:34:56.123456Z",
    "actor": {"kind": "token", "id": None},
    "action": "project.created",
    "target": "5f0c6f0e-0d5b-4a5e-9a51-3c8d5f1f7a10",
    "details": {"name": "Docs"},
    "request_id": "9f1c2f0a6d5e4b7c8a9b0c1d2e3f4a5b",
    "address": "203.0.113.7",
}
SYSTEM_EXAMPLE = {
    **EVENT_EXAMPLE,
    "actor": {"kind": "system", "id": None},
    "action": "admin_key.created",
    "details": {"name": "admin"},
    "request_id": None,
    "address": None,
}


class EventActor(BaseModel):
    """The actor of an event."""

    kind: str = Field(description="`token`, `api_key`, `admin`, `anonymous` or `system`.")
    id: str | None = Field(description="The token's `sub`, or the key's id.")


class EventRead(BaseModel):
    """One audited action."""

    id: UUID
    created_at: datetime
    actor: EventActor
    action: str
    target: str | None = Field(description="Id of the object that was changed.")
    details: dict[str, Any]
    request_id: str | None
    address: str | None


class EventList(BaseModel):
    """A page of events, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"events": [event], "has_more": False, "next_after": None} for event in (EVENT_EXAMPLE, SYSTEM_EXAMPLE)
            ]
        }
    )

    events: list[EventRead]
    has_more: bool
    next_after: UUID | None = Field(description="Send it as `after` to get the next page.")

    @classmethod
    def of(cls, rows: Sequence[AuditEvent] | Sequence[AdminEvent], limit: int) -> EventList:
        """Build a page. If there is a next page, `rows` has one row more than `limit`."""
        has_more = len(rows) > limit
        events = [
            EventRead(
                id=row.id,
                created_at=row.created_at,
                actor=EventActor(kind=row.actor_kind, id=row.actor_id),
                action=row.action,
                target=row.target,
                details=row.details,
                request_id=row.request_id,
                address=row.address,
            )
            for row in rows[:limit]
        ]
        return cls(events=events, has_more=has_more, next_after=events[-1].id if has_more else None)
