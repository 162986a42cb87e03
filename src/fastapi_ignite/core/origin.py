"""On whose behalf the current task works: set where a request is authenticated, read where the audit is written."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, for the audit: `kind` is `token`, `api_key`, `admin` or `system`; `id` is a subject or a key's id."""

    kind: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """`address` is the caller's, as far as proxies are trusted."""

    actor: Actor
    request_id: str | None = None
    address: str | None = None


_SYSTEM = Origin(Actor("system"))
_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def current_origin() -> Origin:
    """Of this task and those it started; outside of requests (worker, scheduler, command line) the system's own."""
    return _current.get() or _SYSTEM


def act_for(origin: Origin) -> None:
    """From now on in this task."""
    _current.set(origin)
