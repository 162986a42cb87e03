"""Render every error that a caller sees as an RFC 9457 problem document."""

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

from fastapi_ignite.core.errors import Example, IgniteError
from fastapi_ignite.core.outages import outage_of
from fastapi_ignite.core.permissions import InsufficientScopeError
from fastapi_ignite.core.security import InvalidTokenError

MEDIA_TYPE = "application/problem+json"
MAX_REPORTED_ERRORS = 20
log = structlog.get_logger(__name__)

# FastAPI answers 400 only to a body that it cannot read
_HTTP_CODES = {400: "malformed_body", 404: "not_found", 405: "method_not_allowed"}
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Problem(BaseModel):
    """An error. Members beyond these belong to the `code`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Where the code is explained.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; what programs should look at.")
    request_id: str | None


class TenantMismatchError(IgniteError):
    """A `tenant_id` parameter or an `X-Tenant-Id` header differs from the tenant of the token."""

    status = 403
    code = "tenant_mismatch"
    title = "Another tenant's id"
    example = Example("The tenant id in the request is not the tenant of the token.")


class TenantSuspendedError(IgniteError):
    """An administrator has suspended the tenant."""

    status = 403
    code = "tenant_suspended"
    title = "Tenant suspended"
    example = Example("The tenant is suspended. Its data is kept. Ask the operator of the service.")


class TenantErasedError(IgniteError):
    """The tenant was erased. Only its receipt can still be read."""

    status = 403
    code = "tenant_erased"
    title = "Tenant erased"
    example = Example("The tenant was erased. GET /deletions/{tenant_id} is its receipt.")


class RateLimitedError(IgniteError):
    """The caller has used all requests of the last 60 seconds."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"
    example = Example(
        "The rate limit is 60 requests per minute. Try again in 7 s.", limit=60, cost=1, retry_after_seconds=7
    )


class BodyTooLargeError(IgniteError):
    """The body is larger than the limit. Nothing of it was stored."""

    status = 413
    code = "body_too_large"
    title = "Body too large"
    example = Example("A body may have at most 262144 bytes.", max_bytes=262144)


class MalformedBodyError(IgniteError):
    """The body does not match its media type."""

    status = 400
    code = "malformed_body"
    title = "Malformed body"
    example = Example("The body is not valid JSON.")


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
    """Build a problem response. `extra` adds members, but cannot overwrite the standard ones."""
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
    """Return the members that every problem document has."""
    return {
        "type": f"{errors_url}#{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def responses(*errors: type[IgniteError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the errors that an operation may answer, one entry for each status.

    Every error has its own example. `http/openapi` moves the examples to a place that all operations share.
    """
    by_status: dict[int, list[type[IgniteError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(f"`{error.code}`: {error.title}" for error in group),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {error.code: {"summary": error.title, "value": _example(error)} for error in group},
                }
            },
        }
        for status, group in sorted(by_status.items())
    }


def _example(error: type[IgniteError]) -> dict[str, Any]:
    shown = vars(error).get("example", IgniteError.example)
    members = problem_members(
        errors_url="",
        status=error.status,
        code=error.code,
        title=error.title,
        detail=shown.detail or error.title,
        request_id="9f1c2f0a6d5e4b7c8a9b0c1d2e3f4a5b",
    )
    return {**members, **shown.extra}


def reported_errors(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Return place and reason of each error, but never the value, which may be large or secret."""
    return [
        {"loc": [str(part)[:100] for part in item["loc"]], "msg": item["msg"], "type": item["type"]}
        for item in errors[:MAX_REPORTED_ERRORS]
    ]


def install(app: FastAPI, *, errors_url: str = "/errors") -> None:
    """Register the exception handlers. `errors_url` is the page that explains the codes.

    An unexpected exception is logged with its traceback. The caller sees only the request id.
    """
    app.state.errors_url = errors_url

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        if any(item["type"] == "json_invalid" for item in errors):
            return problem_response(
                request, status=400, code="malformed_body", title="Malformed body", detail="The body is not valid JSON."
            )
        reported = reported_errors(errors)
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
        if error.status_code == 405:  # noqa: PLR2004  RFC 9110 requires a complete Allow header with this status
            headers |= _allow(request)
        return problem_response(
            request, status=error.status_code, code=code, title=title, detail=str(error.detail), headers=headers
        )

    app.exception_handler(IgniteError)(known_error)
    app.exception_handler(Exception)(unexpected_error)


def _allow(request: Request) -> dict[str, str]:
    """Return all methods of the path. Starlette names only those of the first route that matches it."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    methods = [name for name, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]
    if "GET" in methods:
        methods.insert(1, "HEAD")  # `RequestGuard` answers it with the GET
    return {"Allow": ", ".join(methods)} if methods else {}


async def known_error(request: Request, error: IgniteError) -> JSONResponse:
    """Render the error. Errors of the server (5xx) are logged."""
    if error.status >= 500:  # noqa: PLR2004  the class of server errors
        log.error("request failed", code=error.code, detail=error.detail)
    return _problem_of(request, error)


async def unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """Render an outage of a server or a disk as 503, and anything else as 500 with a traceback in the log."""
    if outage := outage_of(error):
        log.error("request failed", code=outage.error.code, exc_info=error)
        return _problem_of(request, outage.as_error())
    log.error("unexpected error", exc_info=error)
    return problem_response(
        request,
        status=500,
        code="internal_error",
        title="Internal error",
        detail="An unexpected error happened on the server. The log has it under the request id.",
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
    """Return the problem of any exception, for a response that has begun and must report it in its body."""
    if isinstance(error, IgniteError):
        return await known_error(request, error)
    return await unexpected_error(request, error)


AUTHENTICATED = (
    InvalidTokenError,
    TenantMismatchError,
    TenantSuspendedError,
    TenantErasedError,
    InsufficientScopeError,
    RateLimitedError,
)
