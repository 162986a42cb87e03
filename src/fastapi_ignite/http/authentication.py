"""Who is calling, decided before the body is read."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import HTTPBearer

from fastapi_ignite.core.security import InvalidTokenError, Principal, bearer_token, verify_token
from fastapi_ignite.http.problems import TenantMismatchError
from fastapi_ignite.http.rate_limit import check_rate_limit

_bearer = HTTPBearer(auto_error=False, description="A JWT with a `tenant_id` claim, signed with `JWT_SECRET`.")


async def require_auth(request: Request) -> Principal:
    """Verify the bearer token once; later calls in the same request return the same principal.

    Route classes call this before the body is read. Callers without a good token share their address's limit; a refused
    tenant id costs the tenant a unit, like any request.
    """
    known = getattr(request.state, "principal", None)
    if isinstance(known, Principal):
        return known
    try:
        principal = verify_token(bearer_token(request.headers.get("authorization")), request.state.settings)
    except InvalidTokenError:
        await check_rate_limit(request, None)
        raise
    request.state.principal = principal
    claimed = (*request.headers.getlist("x-tenant-id"), *request.query_params.getlist("tenant_id"))
    if not all(_is_tenant(value, principal) for value in claimed):
        await check_rate_limit(request, principal)
        raise TenantMismatchError("The tenant id sent is not the token's tenant.")
    return principal


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
