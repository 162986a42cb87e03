"""Find the operation of a request by its path, in one look-up."""

from __future__ import annotations

from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from re import Pattern
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.convertors import StringConvertor
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation of the API. `pattern` has a group for each parameter of the path."""

    route: BaseRoute
    app: ASGIApp
    endpoint: Any
    path: str
    pattern: Pattern[str]

    @property
    def is_fixed(self) -> bool:
        """Tell whether the path has no parameters."""
        return not self.pattern.groups


class RouteTable:
    """Calls the operation of a request.

    FastAPI asks each included router in turn, and matches its routes twice. That takes 60 us for the last router, and
    2 us here. What this table does not know goes to FastAPI: an unknown path (404), a wrong method (405), a mount.

    Each operation is served with and without a slash at the end of its path. Starlette would redirect instead, to an
    absolute URL with the caller's `Host`, and to http:// behind a TLS proxy.
    """

    def __init__(self, app: ASGIApp, *, application: FastAPI) -> None:
        """Read the routes of the application. FastAPI makes its middleware at the first request, so it has all of them.

        Raises:
            ValueError: a path cannot be served in both spellings, or hides another one.
        """
        self._app = app
        # FastAPI's own middleware would put these into the scope
        self._error_handlers = (
            {kind: answer for kind, answer in application.exception_handlers.items() if isinstance(kind, type)},
            {kind: answer for kind, answer in application.exception_handlers.items() if isinstance(kind, int)},
        )
        self._error_handlers[0].pop(Exception, None)  # it belongs to the outermost layer
        self._fixed_paths: set[str] = set()
        self._fixed: dict[tuple[str, str], _Operation] = {}
        self._patterns: dict[tuple[str, int], list[_Operation]] = defaultdict(list)
        for context in iter_route_contexts(application.routes):
            if context.path:
                self._add(context)
        self._mounts = tuple(f"{route.path}/" for route in application.routes if isinstance(route, Mount))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        path = self._declared(scope["path"].removeprefix(root))
        scope["path"] = root + path
        found = self._find(scope["method"], path)
        if found is None or "fastapi.telemetry" in scope:  # FastAPI tells OpenTelemetry the route that it found itself
            await self._app(scope, receive, send)
            return
        operation, scope["path_params"] = found
        scope["route"], scope["endpoint"] = operation.route, operation.endpoint
        scope["starlette.exception_handlers"] = self._error_handlers
        async with AsyncExitStack() as scope["fastapi_middleware_astack"]:
            await operation.app(scope, receive, send)

    def _add(self, context: RouteContext) -> None:
        path, route = context.path or "", context.original_route
        fixed = "{" not in path
        if fixed:
            self._fixed_paths.add(path)
        elif path.endswith("/"):
            raise ValueError(f"declare a path that has parameters without a slash at its end: {path}")
        if not isinstance(route, APIRoute):
            return
        if not all(type(each) is StringConvertor for each in context.param_convertors.values()):
            return  # its parameters may contain slashes
        operation = _Operation(route, context.app, context.endpoint, path, context.path_regex)
        for method in context.methods or ():
            hidden_by = self._match(method, path) if fixed else None
            if hidden_by:
                raise ValueError(f"declare {path} before {hidden_by[0].path}, which hides it")
            if fixed:
                self._fixed.setdefault((method, path), operation)
            else:
                self._patterns[method, path.count("/")].append(operation)

    def _declared(self, path: str) -> str:
        """Return the path as an operation declares it, or else the path without its last slash."""
        if path in self._fixed_paths:
            return path
        if f"{path}/" in self._fixed_paths:
            return f"{path}/"
        return path if path.startswith(self._mounts) else path.removesuffix("/")

    def _find(self, method: str, path: str) -> tuple[_Operation, dict[str, str]] | None:
        operation = self._fixed.get((method, path))
        return (operation, {}) if operation else self._match(method, path)

    def _match(self, method: str, path: str) -> tuple[_Operation, dict[str, str]] | None:
        for operation in self._patterns.get((method, path.count("/")), ()):
            match = operation.pattern.match(path)
            if match:
                return operation, match.groupdict()
        return None
