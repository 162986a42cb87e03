"""The actor of the current task. Authentication sets it, and the audit log reads it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """`kind` is `token`, `api_key`, `admin`, `anonymous` or `system`. `id` is a token's subject or a key's id."""

    kind: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditContext:
    """The facts about a request that the audit records. Only a trusted proxy can set another `address` than its own."""

    actor: Actor
    request_id: str | None = None
    address: str | None = None


_SYSTEM = AuditContext(Actor("system"))
_current: ContextVar[AuditContext | None] = ContextVar("audit_context", default=None)


def current_audit_context() -> AuditContext:
    """Return the context of this task. Outside requests (worker, scheduler, command line) the actor is `system`."""
    return _current.get() or _SYSTEM


def set_audit_context(context: AuditContext) -> None:
    """Set the context for the rest of this task and for the tasks that it starts."""
    _current.set(context)
