"""Builds the application: the middleware, the endpoints under `/v1` and the control API under `/_sim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from openai_simulator import control
from openai_simulator.errors import ApiError, invalid
from openai_simulator.middleware import PREFIX, ApiMiddleware
from openai_simulator.routes import chat, embeddings, files, responses, store_files, vector_stores
from openai_simulator.simulator import Simulator

ROUTERS: Final = tuple(module.router for module in (files, vector_stores, store_files, responses, chat, embeddings))
# The service's error codes for Pydantic's error types.
ERROR_CODES: Final = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "greater_than_equal": "integer_below_min_value",
    "less_than_equal": "integer_above_max_value",
    "string_too_long": "string_above_max_length",
    "string_too_short": "string_below_min_length",
    "too_long": "array_above_max_length",
    "too_short": "array_below_min_length",
    "literal_error": "invalid_value",
    "enum": "invalid_value",
    "value_error": "invalid_value",
}


def create_app(simulator: Simulator) -> FastAPI:
    app = FastAPI(title="OpenAI simulator", openapi_url=None)
    app.state.simulator = simulator
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(control.router, prefix="/_sim")
    app.exception_handler(ApiError)(_api_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(HTTPException)(_http_error)
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    app.add_middleware(ApiMiddleware, simulator=simulator, routes=routes)
    return app


async def _api_error(_: Request, error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, headers=error.headers)


async def _validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    param = _param(first["loc"][1:])
    if first["type"] == "json_invalid":
        refused = invalid("We could not parse the JSON body of your request.")
    elif first["type"] == "missing":
        refused = invalid(f"Missing required parameter: '{param}'.", param, ERROR_CODES["missing"])
    elif first["type"] == "extra_forbidden":
        refused = invalid(f"Unknown parameter: '{param}'.", param, ERROR_CODES["extra_forbidden"])
    else:
        code = ERROR_CODES.get(first["type"], "invalid_type")
        refused = invalid(f"Invalid '{param}': {first['msg']}.", param, code)
    return JSONResponse(refused.body(), 400)


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    message = f"Invalid URL ({request.method} {request.url.path})" if error.status_code == 404 else error.detail  # noqa: PLR2004
    return JSONResponse(ApiError(error.status_code, message).body(), error.status_code)


def _param(location: Sequence[Any]) -> str:
    """Write a location as the service does, for example `tools[0].vector_store_ids`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")
