"""Authenticate callers before the body of the request is read."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from fastapi_ignite.core.audit_context import Actor, AuditContext, set_audit_context
from fastapi_ignite.core.permissions import InsufficientScopeError, Scope
from fastapi_ignite.core.security import (
    InvalidTokenError,
    KeysUnavailableError,
    Principal,
    TokenVerifier,
    bearer_token,
)
from fastapi_ignite.http.problems import TenantErasedError, TenantMismatchError, TenantSuspendedError
from fastapi_ignite.http.rate_limit import check_rate_limit
from fastapi_ignite.http.state import Authenticator, TenantAccessSource

API_KEY_PREFIX = "ign_"  # a JWT never begins with this, because its first byte is `{` in base64url


async def require_auth(request: Request) -> Principal:
    """Verify the bearer token once. Later calls in the same request return the same principal.

    The route classes call this before the body is read. A request without a valid token counts against the rate limit
    of its address. A request with a wrong tenant id counts against the tenant's.
    """
    known = getattr(request.state, "principal", None)
    if isinstance(known, Principal):
        return known
    try:
        principal = await _verified(request)
    except (InvalidTokenError, KeysUnavailableError):
        await check_rate_limit(request, None)
        raise
    request.state.principal = principal
    record_audit_context(request, principal.actor)
    claimed = (*request.headers.getlist("x-tenant-id"), *request.query_params.getlist("tenant_id"))
    if not all(_is_tenant(value, principal) for value in claimed):
        await check_rate_limit(request, principal)
        raise TenantMismatchError("The tenant id in the request is not the tenant of the token.")
    return principal


async def _verified(request: Request) -> Principal:
    bearer = bearer_token(request.headers.getlist("authorization"))
    if not bearer.startswith(API_KEY_PREFIX):
        verifier: TokenVerifier = request.state.tokens
        return await verifier.verify(bearer)
    api_keys: Authenticator[Principal] = request.state.api_keys
    principal = await api_keys.authenticate(bearer)
    if principal is None:
        raise InvalidTokenError("The API key is unknown, expired or revoked.")
    return principal


async def require_admin(request: Request) -> Actor:
    """Return the administrator that owns the admin key.

    Raises:
        InvalidTokenError: the header is malformed, or the key is unknown, expired or revoked.
    """
    admins: Authenticator[Actor] = request.state.admins
    actor = await admins.authenticate(bearer_token(request.headers.getlist("authorization")))
    if actor is None:
        raise InvalidTokenError("The admin key is unknown, expired or revoked.")
    record_audit_context(request, actor)
    return actor


async def require_active(request: Request, principal: Principal, *, may_be_erased: bool = False) -> None:
    """Raise TenantErasedError or TenantSuspendedError if the tenant is erased or suspended."""
    tenants: TenantAccessSource = request.state.tenants
    access = await tenants.access(principal.tenant_id)
    if access.erased:
        if may_be_erased:
            return
        raise TenantErasedError(f"The tenant was erased. GET /deletions/{principal.tenant_id} is its receipt.")
    if access.suspended:
        raise TenantSuspendedError("The tenant is suspended. Its data is kept. Ask the operator of the service.")


async def require_still_permitted(request: Request, scope: Scope) -> None:
    """Check again, during a long answer, what was checked before it began.

    Raises:
        InvalidTokenError: The token has expired, or the key was revoked.
        TenantErasedError, TenantSuspendedError: The tenant was erased or suspended.
        InsufficientScopeError: The key has lost the scope.
    """
    principal = await _verified(request)
    await require_active(request, principal)
    require_scope(principal, scope)


def require_scope(principal: Principal, scope: Scope) -> None:
    """Raise InsufficientScopeError if the principal lacks the scope of the operation."""
    if scope not in principal.scopes:
        raise InsufficientScopeError(
            f"This operation requires the scope {scope}.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            required_scope=scope,
        )


def record_audit_context(request: Request, actor: Actor) -> None:
    """Set the actor, the request id and the address that the audit log records."""
    address = request.client.host if request.client else None
    set_audit_context(AuditContext(actor, getattr(request.state, "request_id", None), address))


def _is_tenant(claimed: str, principal: Principal) -> bool:
    try:
        return UUID(claimed) == principal.tenant_id
    except ValueError:
        return False


PrincipalDep = Annotated[Principal, Depends(require_auth)]

_admin_bearer = HTTPBearer(auto_error=False, scheme_name="AdminKey", description="An admin key (`ign_admin_…`).")


async def _admin(_: Annotated[object, Security(_admin_bearer)]) -> None:
    """Document the admin key in OpenAPI. The route class has checked it already."""


AdminDep = Depends(_admin)
