"""What an endpoint may ask for. Every dependency is an alias that ends in `Dep`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, Field, StringConstraints
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.core.security import InvalidTokenError, Principal, bearer_token, verify_token
from fastapi_ignite.http.problems import RateLimitedError, TenantMismatchError
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.idempotency import Claim
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.infra.ratelimit import RateDecision
from fastapi_ignite.infra.storage import Storage
from fastapi_ignite.rag.engine import RagEngine

MAX_IDEMPOTENCY_KEY = 255


def no_nul(value: str) -> str:
    """PostgreSQL stores no NUL characters, and no name or question needs one."""
    if "\x00" in value:
        raise ValueError("NUL characters are not allowed")
    return value


# What the checks mean to a client that generates input from the OpenAPI document.
_NO_NUL = {"pattern": r"^[^\u0000]*$"}
NOT_BLANK = {"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}

Text = Annotated[str, AfterValidator(no_nul), Field(json_schema_extra=_NO_NUL)]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(no_nul),
    Field(json_schema_extra=NOT_BLANK),
]


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


async def check_rate_limit(request: Request, principal: Principal | None) -> None:
    """Take one unit of the tenant's minute, or of the address's where there is no tenant.

    The decision's headers go onto every answer, refusals included.
    """
    state = request.state
    if principal is None:
        address = request.client.host if request.client else "unknown"
        key, limit = f"address:{address}", state.settings.rate_limit.per_address
    else:
        key, limit = f"tenant:{principal.tenant_id}", await state.tenant_rates.rpm(principal.tenant_id)
    decision = await state.limiter.hit(key, limit)
    state.rate_headers = _rate_headers(decision)
    if not decision.allowed:
        seconds = _whole_seconds(decision)
        raise RateLimitedError(
            f"All {decision.limit} requests of this minute are used; try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
            limit=decision.limit,
            retry_after_seconds=seconds,
        )


def _whole_seconds(decision: RateDecision) -> int:
    return max(1, -int(-decision.reset_seconds // 1))


def _rate_headers(decision: RateDecision) -> dict[str, str]:
    """The IETF draft's fields, and the `X-` family that older clients read; all times in seconds from now."""
    seconds = _whole_seconds(decision)
    headers = {
        "RateLimit-Policy": f'"rpm";q={decision.limit};w=60',
        "RateLimit": f'"rpm";r={decision.remaining};t={seconds}',
        "X-RateLimit-Limit": str(decision.limit),
        "X-RateLimit-Remaining": str(decision.remaining),
        "X-RateLimit-Reset": str(seconds),
    }
    if decision.degraded:
        headers["X-RateLimit-Mode"] = "degraded"
    return headers


_bearer = HTTPBearer(auto_error=False, description="A JWT with a `tenant_id` claim, signed with `JWT_SECRET`.")


async def _principal(request: Request, _: Annotated[object, Security(_bearer)]) -> Principal:
    return await require_auth(request)


async def _tenant_parameter(
    tenant_id: Annotated[UUID | None, Query(description="Optional; must be the token's tenant.")] = None,
    x_tenant_id: Annotated[UUID | None, Header(description="Optional; must be the token's tenant.")] = None,
) -> None:
    """Documents what `require_auth` has checked by now."""
    del tenant_id, x_tenant_id


async def get_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """One transaction for the request, of the token's tenant, or of none on public routes."""
    principal = getattr(request.state, "principal", None)
    database: Database = request.state.database
    async with database.tenant(principal.tenant_id if principal else None) as session:
        yield session


async def ensure_idempotent(
    request: Request,
    principal: PrincipalDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="1 to 255 visible ASCII characters; the key is good for one request in 30 minutes.",
            json_schema_extra={"minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[!-~]+$"},
        ),
    ] = None,
) -> Claim | None:
    """The claim this request wants to make; the service makes it in its first transaction."""
    if idempotency_key is None:
        return None
    keys = request.headers.getlist("idempotency-key")
    visible = all("!" <= character <= "~" for character in idempotency_key)
    if len(keys) > 1 or not 1 <= len(idempotency_key) <= MAX_IDEMPOTENCY_KEY or not visible:
        raise InvalidIdempotencyKeyError(
            f"Idempotency-Key takes one value of 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters."
        )
    route = request.scope["route"]
    # raw: `request.url` cannot hold a query that is not UTF-8
    whole = b"\n".join((request.scope["path"].encode(), request.scope["query_string"], await request.body()))
    return Claim.of(
        tenant_id=principal.tenant_id,
        route=f"{request.method} {route.path}",
        key=idempotency_key,
        request=whole,
    )


class InvalidIdempotencyKeyError(InvalidInputError):
    """A key that cannot be one."""

    status = 400
    code = "idempotency_key_invalid"
    title = "Invalid Idempotency-Key"


def _from_state(name: str) -> Any:
    async def provide(request: Request) -> Any:  # a plain function would cost a thread
        return getattr(request.state, name)

    return Depends(provide)


PrincipalDep = Annotated[Principal, Depends(_principal)]
TenantParameterDep = Depends(_tenant_parameter)
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
ClaimDep = Annotated[Claim | None, Depends(ensure_idempotent)]
SettingsDep = Annotated[Settings, _from_state("settings")]
DatabaseDep = Annotated[Database, _from_state("database")]
RedisDep = Annotated[Redis, _from_state("redis")]
StorageDep = Annotated[Storage, _from_state("storage")]
JobsDep = Annotated[JobQueue, _from_state("jobs")]
EnginesDep = Annotated[Mapping[str, RagEngine], _from_state("engines")]
