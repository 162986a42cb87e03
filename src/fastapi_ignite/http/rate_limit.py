"""Check the rate limit of a request, and set the headers that report it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.security import Principal
from fastapi_ignite.http.problems import RateLimitedError
from fastapi_ignite.http.security_headers import RawHeaders
from fastapi_ignite.infra.ratelimit import RateDecision

IPV6_PREFIX = 64  # a customer gets at least a /64 network, and could use each of its 2^64 addresses
_COST = "rate_limit_cost"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def costs(units: int) -> Callable[[Endpoint], Endpoint]:
    """Set how many units of the rate limit a request costs; `RATE_LIMIT_COSTS` overrides it.

    Write this decorator below the router's.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _COST, units)
        return endpoint

    return mark


def route_cost(request: Request) -> int:
    """Return how many units of the rate limit the called operation costs."""
    route: APIRoute = request.scope["route"]
    settings: Settings = request.state.settings
    own: int = getattr(route.endpoint, _COST, 1)
    return (settings.rate_limit.costs or {}).get(route.name, own)


def require_known_operations(app: FastAPI, settings: Settings) -> None:
    """Raise a ConfigurationError if `RATE_LIMIT_COSTS` names an unknown operation."""
    if not settings.rate_limit.costs:
        return
    known = {operation["operationId"] for path in app.openapi()["paths"].values() for operation in path.values()}
    unknown = settings.rate_limit.costs.keys() - known
    if unknown:
        raise ConfigurationError(f"RATE_LIMIT_COSTS: no operation is called {', '.join(sorted(unknown))}")


def caller_key(request: Request, principal: Principal | None) -> str:
    """Return the key of the rate limit: the tenant, or the address if there is no tenant."""
    return f"tenant:{principal.tenant_id}" if principal else f"address:{caller_address(request)}"


def caller_address(request: Request) -> str:
    """Return the caller's IPv4 address, or the /64 network of its IPv6 address."""
    return client_network(request.client.host if request.client else "unknown")


@lru_cache(maxsize=1024)
def client_network(host: str) -> str:
    """Return what identifies a client: its IPv4 address, or the /64 network of its IPv6 address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host  # a Unix socket
    if not isinstance(address, IPv6Address):
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ip_network((int(address), IPV6_PREFIX), strict=False))


async def check_rate_limit(request: Request, principal: Principal | None, *, cost: int = 1) -> None:
    """Take `cost` units of the tenant's minute, or of the address's where there is no tenant.

    The decision's headers go onto every answer, refusals included.

    Raises:
        RateLimitedError: fewer than `cost` units are left.
    """
    state = request.state
    access = await state.tenants.access(principal.tenant_id) if principal else None
    limit = access.rpm if access else state.settings.rate_limit.per_address
    decision: RateDecision = await state.limiter.hit(caller_key(request, principal), limit, cost=cost)
    state.rate_headers = _rate_headers(decision)
    if not decision.allowed:
        seconds = _whole_seconds(decision)
        raise RateLimitedError(
            f"The rate limit is {decision.limit} requests per minute. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
            limit=decision.limit,
            cost=cost,
            retry_after_seconds=seconds,
        )


def _whole_seconds(decision: RateDecision) -> int:
    return max(1, -int(-decision.reset_seconds // 1))


def _rate_headers(decision: RateDecision) -> RawHeaders:
    """Return the header fields of the IETF draft, and the older `X-` ones. All times are in seconds from now."""
    seconds = b"%d" % _whole_seconds(decision)
    headers = [
        (b"ratelimit-policy", b'"rpm";q=%d;w=60' % decision.limit),
        (b"ratelimit", b'"rpm";r=%d;t=%b' % (decision.remaining, seconds)),
        (b"x-ratelimit-limit", b"%d" % decision.limit),
        (b"x-ratelimit-remaining", b"%d" % decision.remaining),
        (b"x-ratelimit-reset", seconds),
    ]
    if decision.degraded:
        headers.append((b"x-ratelimit-mode", b"degraded"))
    return headers
