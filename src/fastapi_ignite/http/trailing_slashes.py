"""Serve each operation with and without a slash at the end of its path."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlashes:
    """Rewrites the path to the one that the operation declares.

    Starlette would redirect instead, to an absolute URL with the caller's `Host`, and to http:// behind a TLS proxy.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        paths = {route.path for route in iter_route_contexts(routes) if route.path}
        ambiguous = [path for path in paths if "{" in path and path.endswith("/")]
        if ambiguous:
            raise ValueError(f"declare a path that has parameters without a slash at its end: {ambiguous}")
        self._fixed = {path for path in paths if "{" not in path}
        self._mounts = tuple(f"{route.path}/" for route in routes if isinstance(route, Mount))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            root = scope.get("root_path", "")
            scope["path"] = root + self._declared(scope["path"].removeprefix(root))
        await self.app(scope, receive, send)

    def _declared(self, path: str) -> str:
        """Return the path as an operation declares it, or else the path without its last slash."""
        if path in self._fixed:
            return path
        shorter = path.removesuffix("/")
        if f"{path}/" in self._fixed:
            return f"{path}/"
        return path if path.startswith(self._mounts) else shorter
