"""A request's unit of its caller's minute, and the headers that tell of it."""

from __future__ import annotations

from fastapi import Request

from fastapi_ignite.core.security import Principal
from fastapi_ignite.http.problems import RateLimitedError
from fastapi_ignite.infra.ratelimit import RateDecision


async def check_rate_limit(request: Request, principal: Principal | None) -> None:
    """Take one unit of the tenant's minute, or of the address's where there is no tenant.

    The decision's headers go onto every answer, refusals included.
    """
    state = request.state
    if principal is None:
        address = request.client.host if request.client else "unknown"
        key, limit = f"address:{address}", state.settings.rate_limit.per_address
    else:
        key, limit = f"tenant:{principal.tenant_id}", (await state.tenants.standing(principal.tenant_id)).rpm
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
