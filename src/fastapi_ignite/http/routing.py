"""Routers whose checks run before the body is read: FastAPI itself parses first."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from fastapi_ignite.http.admission import Handler, admit
from fastapi_ignite.http.authentication import TenantParameterDep
from fastapi_ignite.http.deps import require_auth
from fastapi_ignite.http.problems import AUTHENTICATED, RateLimitedError, responses


class TenantRoute(APIRoute):
    """Bearer token, then the tenant's rate limit, then everything else."""

    def get_route_handler(self) -> Handler:
        """The checks around FastAPI's own handler."""
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            principal = await require_auth(request)
            return await admit(request, principal, handler)

        return checked


class PublicRoute(APIRoute):
    """No token; the address's rate limit."""

    def get_route_handler(self) -> Handler:
        """The check around FastAPI's own handler."""
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            return await admit(request, None, handler)

        return checked


def tenant_router(prefix: str, tag: str) -> APIRouter:
    """A router of operations that act for a tenant."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=TenantRoute,
        dependencies=[TenantParameterDep],
        responses=responses(*AUTHENTICATED),
    )


def public_router(prefix: str, tag: str) -> APIRouter:
    """A router of operations that need no token."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=PublicRoute, responses=responses(RateLimitedError))
