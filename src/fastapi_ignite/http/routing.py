"""Routers whose checks run before the body is read. FastAPI itself would parse the body first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from fastapi_ignite.core.audit_context import Actor
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.permissions import Scope
from fastapi_ignite.core.security import InvalidTokenError
from fastapi_ignite.http.admission import Handler, admit
from fastapi_ignite.http.authentication import (
    AdminDep,
    record_audit_context,
    require_active,
    require_admin,
    require_auth,
    require_scope,
)
from fastapi_ignite.http.json_text import require_storable_text
from fastapi_ignite.http.problems import AUTHENTICATED, RateLimitedError, responses
from fastapi_ignite.http.rate_limit import check_rate_limit

REQUIRED_SCOPE = "x-required-scope"
AFTER_ERASURE = "x-after-erasure"
ANONYMOUS = Actor("anonymous")


def requires(scope: Scope, *, after_erasure: bool = False) -> dict[str, Any]:
    """Return the `openapi_extra` that names the scope of an operation. `TenantRoute` enforces it.

    An operation `after_erasure` also serves the tokens of a tenant that is erased, and must show nothing of it but the
    receipt.
    """
    return {REQUIRED_SCOPE: str(scope), **({AFTER_ERASURE: True} if after_erasure else {})}


def _require_unambiguous_query(request: Request) -> None:
    """Refuse repeated parameters that differ. FastAPI reads the last one, but a proxy may have checked the first."""
    if not request.scope["query_string"]:
        return
    values = request.query_params
    repeated = [name for name in values if len(set(values.getlist(name))) > 1]
    if repeated:
        message = "Sent several times with different values"
        raise RequestValidationError(
            [{"type": "repeated", "loc": ("query", name), "msg": message, "input": None} for name in repeated]
        )


class _CheckedRoute(APIRoute):
    """Checks query and JSON text before FastAPI reads them. Uploads are streamed, and have no JSON."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        reads_json = self.body_field is not None

        async def checked(request: Request) -> Response:
            _require_unambiguous_query(request)
            if reads_json:
                await require_storable_text(request)
            return await handler(request)

        return checked


class TenantRoute(_CheckedRoute):
    """Checks the bearer token, the rate limit, the state of the tenant and the scope, in this order."""

    def get_route_handler(self) -> Handler:
        """Put the checks around FastAPI's handler.

        Raises:
            ValueError: the operation requires no scope, so the application does not start.
        """
        handler = super().get_route_handler()
        named = (self.openapi_extra or {}).get(REQUIRED_SCOPE)
        if named is None:
            raise ValueError(
                f"{self.path}: an operation of a tenant must name its scope: openapi_extra=requires(Scope.…)"
            )
        scope = Scope(named)
        may_be_erased = AFTER_ERASURE in (self.openapi_extra or {})

        async def permitted(request: Request) -> Response:
            principal = await require_auth(request)
            await require_active(request, principal, may_be_erased=may_be_erased)
            require_scope(principal, scope)
            return await handler(request)

        async def checked(request: Request) -> Response:
            return await admit(request, await require_auth(request), permitted)

        return checked


class AdminRoute(_CheckedRoute):
    """Checks the rate limit of the address, then the admin key."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            await check_rate_limit(request, None)
            await require_admin(request)
            return await handler(request)

        return checked


class PublicRoute(_CheckedRoute):
    """Checks the rate limit of the address. No token is needed."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            record_audit_context(request, ANONYMOUS)
            return await admit(request, None, handler)

        return checked


class FeatureRouter(APIRouter):
    """The operations of a feature.

    `about` explains their tag in the API pages. `enabled` tells by the settings whether an installation has them.
    """

    enabled: Callable[[Settings], bool] = staticmethod(lambda _: True)

    def __init__(self, prefix: str, tag: str, about: str = "", **options: Any) -> None:
        super().__init__(prefix=prefix, tags=[tag], **options)
        self.about = {tag: about} if about else {}


def tenant_router(prefix: str, tag: str, about: str = "") -> FeatureRouter:
    """Make a router for operations that act for the tenant of the bearer token.

    One of the routers with a tag says in `about` what the tag is.
    """
    return FeatureRouter(
        prefix,
        tag,
        about,
        route_class=TenantRoute,
        responses=responses(*AUTHENTICATED),
    )


def public_router(prefix: str, tag: str, about: str = "") -> FeatureRouter:
    """Make a router for operations that need no token."""
    return FeatureRouter(prefix, tag, about, route_class=PublicRoute, responses=responses(RateLimitedError))


def admin_router(prefix: str) -> FeatureRouter:
    """Make a router under `/admin` for operations that need an admin key."""
    return FeatureRouter(
        f"/admin{prefix}",
        "admin",
        "For operators of the service. It requires an admin key, which `python cli.py admin-key` creates.",
        route_class=AdminRoute,
        dependencies=[AdminDep],
        responses=responses(InvalidTokenError, RateLimitedError),
    )


def build_version(prefix: str, features: Sequence[FeatureRouter], settings: Settings) -> APIRouter:
    """Make the router of a version of the API, with those features that the settings enable."""
    version = APIRouter(prefix=prefix)
    for feature in features:
        if feature.enabled(settings):
            version.include_router(feature)
    return version
