"""RFC 9457 problem details: every error a caller sees, in one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.outages import outage_of
from fastapi_ignite.core.permissions import InsufficientScopeError
from fastapi_ignite.core.security import InvalidTokenError

MEDIA_TYPE = "application/problem+json"
MAX_REPORTED_ERRORS = 20
log = structlog.get_logger(__name__)

# FastAPI answers 400 to a body it cannot read, and to nothing else
_HTTP_CODES = {400: "malformed_body", 404: "not_found", 405: "method_not_allowed"}
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Problem(BaseModel):
    """An error. Members beyond these belong to the `code`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "https://github.com/bakrianoo/fastapi-ignite/blob/main/docs/errors.md#project_not_found",
                    "title": "Unknown project",
                    "status": 404,
                    "detail": "No project of this tenant has this id.",
                    "code": "project_not_found",
                    "request_id": "9f1c2f0a6d5e4b7c8a9b0c1d2e3f4a5b",
                }
            ]
        },
    )

    type: str = Field(description="Where the code is explained.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; what programs should look at.")
    request_id: str | None = None


class TenantMismatchError(IgniteError):
    """A `tenant_id` parameter or `X-Tenant-Id` header that is not the token's."""

    status = 403
    code = "tenant_mismatch"
    title = "Another tenant's id"


class TenantSuspendedError(IgniteError):
    """An administrator stopped the tenant."""

    status = 403
    code = "tenant_suspended"
    title = "Tenant suspended"


class RateLimitedError(IgniteError):
    """No unit left in the rolling minute."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"


class BodyTooLargeError(IgniteError):
    """The body passed the limit while it was read; nothing of it was kept."""

    status = 413
    code = "body_too_large"
    title = "Body too large"


class MalformedBodyError(IgniteError):
    """The body is not what its media type says."""

    status = 400
    code = "malformed_body"
    title = "Malformed body"


def problem_response(
    request: Request,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: dict[str, str] | None = None,
    extra: dict[str, Any] | None = None,
) -> JSONResponse:
    """`extra` cannot overwrite the standard members."""
    body = problem_members(
        errors_url=request.app.state.errors_url,
        status=status,
        code=code,
        title=title,
        detail=detail,
        request_id=request.scope.get("state", {}).get("request_id"),
    )
    body = {**body, **jsonable_encoder(extra or {}), **body}
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def problem_members(
    *, errors_url: str, status: int, code: str, title: str, detail: str, request_id: str | None
) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"{errors_url}#{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def responses(*errors: type[IgniteError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the errors an operation answers with."""
    by_status: dict[int, list[type[IgniteError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(f"`{error.code}`: {error.title}" for error in group),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, group in sorted(by_status.items())
    }


def _validation_errors(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Where and why, never the value: it may be large or secret."""
    return [
        {"loc": [str(part)[:100] for part in item["loc"]], "msg": item["msg"], "type": item["type"]}
        for item in errors[:MAX_REPORTED_ERRORS]
    ]


def install(app: FastAPI, *, errors_url: str = "/errors") -> None:
    """Every exception becomes a problem; an unexpected one is logged whole and shown as nothing but its id.

    `errors_url` is the page that explains the codes.
    """
    app.state.errors_url = errors_url

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        if any(item["type"] == "json_invalid" for item in errors):
            return problem_response(
                request, status=400, code="malformed_body", title="Malformed body", detail="The body is not valid JSON."
            )
        reported = _validation_errors(errors)
        first = reported[0] if reported else {"loc": [], "msg": "invalid"}
        return problem_response(
            request,
            status=422,
            code="validation_error",
            title="Invalid input",
            detail=f"{'.'.join(first['loc'])}: {first['msg']}",
            extra={"errors": reported},
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = _HTTP_CODES.get(error.status_code, "http_error")
        title = code.replace("_", " ").capitalize()
        headers = dict(error.headers or {})
        if error.status_code == 405:  # noqa: PLR2004  the status that owes the caller a complete Allow
            headers |= _allow(request)
        return problem_response(
            request, status=error.status_code, code=code, title=title, detail=str(error.detail), headers=headers
        )

    app.exception_handler(IgniteError)(known_error)
    app.exception_handler(Exception)(unexpected_error)


def _allow(request: Request) -> dict[str, str]:
    """All of the path's methods; Starlette names those of the first route that has the path."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    methods = [name for name, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]
    if "GET" in methods:
        methods.insert(1, "HEAD")  # answered by the GET, see `HeadRequests`
    return {"Allow": ", ".join(methods)} if methods else {}


async def known_error(request: Request, error: IgniteError) -> JSONResponse:
    """The case as it was raised."""
    if error.status >= 500:  # noqa: PLR2004  the class of server errors
        log.error("request failed", code=error.code, detail=error.detail)
    return _problem_of(request, error)


async def unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """A server or a disk that is away is told as that; anything else is logged whole, and shown as its request id."""
    if outage := outage_of(error):
        log.error("request failed", code=outage.error.code, exc_info=error)
        return _problem_of(request, outage.as_error())
    log.error("unexpected error", exc_info=error)
    return problem_response(
        request,
        status=500,
        code="internal_error",
        title="Internal error",
        detail="Something failed on our side; the request id finds it in the log.",
    )


def _problem_of(request: Request, error: IgniteError) -> JSONResponse:
    return problem_response(
        request,
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        headers=error.headers,
        extra=error.extra,
    )


async def problem_of(request: Request, error: Exception) -> JSONResponse:
    """For an answer that has begun, where it is told in the answer's own way."""
    if isinstance(error, IgniteError):
        return await known_error(request, error)
    return await unexpected_error(request, error)


AUTHENTICATED = (
    InvalidTokenError,
    TenantMismatchError,
    TenantSuspendedError,
    InsufficientScopeError,
    RateLimitedError,
)
