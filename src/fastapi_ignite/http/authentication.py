"""Who is calling, decided before the body is read."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Security
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
from fastapi_ignite.http.problems import TenantMismatchError, TenantSuspendedError
from fastapi_ignite.http.rate_limit import check_rate_limit
from fastapi_ignite.http.state import Authenticator, TenantAccessSource

KEY_MARK = "ign_"  # no JWT begins so: its first character is of `{` in base64url

_bearer = HTTPBearer(auto_error=False, description="A JWT with a `tenant_id` claim, or an API key (`ign_live_…`).")


async def require_auth(request: Request) -> Principal:
    """Verify the bearer once; later calls in the same request return the same principal.

    Route classes call this before the body is read. Callers without a good bearer share their address's limit; a
    refused tenant id costs the tenant a unit, like any request.
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
        raise TenantMismatchError("The tenant id sent is not the token's tenant.")
    return principal


async def _verified(request: Request) -> Principal:
    bearer = bearer_token(request.headers.getlist("authorization"))
    if not bearer.startswith(KEY_MARK):
        verifier: TokenVerifier = request.state.tokens
        return await verifier.verify(bearer)
    api_keys: Authenticator[Principal] = request.state.api_keys
    principal = await api_keys.authenticate(bearer)
    if principal is None:
        raise InvalidTokenError("The API key is unknown, expired or revoked.")
    return principal


async def require_admin(request: Request) -> Actor:
    """The administrator whose key is the bearer."""
    admins: Authenticator[Actor] = request.state.admins
    actor = await admins.authenticate(bearer_token(request.headers.getlist("authorization")))
    if actor is None:
        raise InvalidTokenError("The bearer is no admin key in force.")
    record_audit_context(request, actor)
    return actor


async def require_active(request: Request, principal: Principal) -> None:
    """A suspended tenant may do nothing."""
    tenants: TenantAccessSource = request.state.tenants
    if (await tenants.access(principal.tenant_id)).suspended:
        raise TenantSuspendedError("The tenant is suspended; its data is kept. Ask the service's operator.")


def require_scope(principal: Principal, scope: Scope) -> None:
    """What the operation takes must be among what the bearer may do."""
    if scope not in principal.scopes:
        raise InsufficientScopeError(
            f"This takes the scope {scope}.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            required_scope=scope,
        )


def record_audit_context(request: Request, actor: Actor) -> None:
    """Who acts, for the audit."""
    address = request.client.host if request.client else None
    set_audit_context(AuditContext(actor, getattr(request.state, "request_id", None), address))


def _is_tenant(claimed: str, principal: Principal) -> bool:
    try:
        return UUID(claimed) == principal.tenant_id
    except ValueError:
        return False


async def _principal(request: Request, _: Annotated[object, Security(_bearer)]) -> Principal:
    return await require_auth(request)


async def _tenant_parameter(
    tenant_id: Annotated[UUID | None, Query(description="Optional; must be the token's tenant.")] = None,
    x_tenant_id: Annotated[UUID | None, Header(description="Optional; must be the token's tenant.")] = None,
) -> None:
    """Documents what `require_auth` has checked by now."""
    del tenant_id, x_tenant_id


PrincipalDep = Annotated[Principal, Depends(_principal)]
TenantParameterDep = Depends(_tenant_parameter)


_admin_bearer = HTTPBearer(auto_error=False, scheme_name="AdminKey", description="An admin key (`ign_admin_…`).")


async def _admin(_: Annotated[object, Security(_admin_bearer)]) -> None:
    """Documents what the route class has checked by now."""


AdminDep = Depends(_admin)
