"""Scopes, which name what a caller may do, and roles, which are sets of scopes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from fastapi_ignite.core.errors import Example, IgniteError


class InsufficientScopeError(IgniteError):
    """The bearer is valid, but it lacks the scope that the operation requires."""

    status = 403
    code = "insufficient_scope"
    title = "Not allowed"
    example = Example("This operation requires the scope files:write.", required_scope="files:write")


class Scope(StrEnum):
    """The form is `resource:action`. Every operation of a tenant requires one scope."""

    TENANT_READ = "tenant:read"
    TENANT_WRITE = "tenant:write"
    TENANT_ERASE = "tenant:erase"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    MESSAGES_READ = "messages:read"
    MESSAGES_WRITE = "messages:write"
    USAGE_READ = "usage:read"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"
    EXPORTS_READ = "exports:read"
    EXPORTS_WRITE = "exports:write"
    API_KEYS_READ = "api_keys:read"
    API_KEYS_WRITE = "api_keys:write"
    AUDIT_READ = "audit:read"


class Role(StrEnum):
    """Each role may do everything that the roles after it may do, and more."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


_VIEWER = frozenset(
    {
        Scope.TENANT_READ,
        Scope.PROJECTS_READ,
        Scope.FILES_READ,
        Scope.MESSAGES_READ,
        Scope.USAGE_READ,
        Scope.BILLING_READ,
    }
)
_MEMBER = _VIEWER | {Scope.PROJECTS_WRITE, Scope.FILES_WRITE, Scope.MESSAGES_WRITE}
ALL_SCOPES = frozenset(Scope)
ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.OWNER: ALL_SCOPES,
    Role.ADMIN: ALL_SCOPES - {Scope.BILLING_WRITE, Scope.TENANT_ERASE},
    Role.MEMBER: _MEMBER,
    Role.VIEWER: _VIEWER,
}
# An API key has these only if its list of scopes names them: many keys have the role of an owner and no list.
_ONLY_IF_NAMED = frozenset({Scope.TENANT_ERASE})


def known_scopes(names: Collection[str]) -> frozenset[Scope]:
    """Return the names that are our scopes. Those of an identity provider (`openid`, `profile`) are ignored."""
    return frozenset(scope for scope in Scope if scope in names)


def granted(role: str, scopes: Collection[str] | None) -> frozenset[Scope]:
    """Return the scopes that both the role and the list allow. None means no list; an empty list allows nothing.

    Raises:
        ValueError: the role is unknown.
    """
    allowed = ROLE_SCOPES[Role(role)]
    return allowed if scopes is None else allowed & known_scopes(scopes)


def granted_to_key(role: str, scopes: Collection[str] | None) -> frozenset[Scope]:
    """Return the scopes of an API key. What destroys everything is never granted by the role alone.

    Raises:
        ValueError: the role is unknown.
    """
    return granted(role, scopes) - (_ONLY_IF_NAMED if scopes is None else frozenset())
