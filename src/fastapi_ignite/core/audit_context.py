"""Who acts in the current task: set where a request is authenticated, read where the audit is written."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who acts: `kind` is `token`, `api_key`, `admin` or `system`; `id` is a subject or a key's id."""

    kind: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditContext:
    """What the audit records of a request. `address` is the caller's, as far as proxies are trusted."""

    actor: Actor
    request_id: str | None = None
    address: str | None = None


_SYSTEM = AuditContext(Actor("system"))
_current: ContextVar[AuditContext | None] = ContextVar("audit_context", default=None)


def current_audit_context() -> AuditContext:
    """Return the context of this task; outside of requests (worker, scheduler, command line) the system acts."""
    return _current.get() or _SYSTEM


def set_audit_context(context: AuditContext) -> None:
    """Record `context` for the rest of this task and for the tasks it starts."""
    _current.set(context)
