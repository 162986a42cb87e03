"""Serve the OpenAPI document, Swagger UI and ReDoc. All files are in this package, so no other host is needed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from html import escape
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from fastapi_ignite.infra.cache import matches_etag

ASSETS = Path(__file__).parent / "assets"
# both programs write styles into the page; ReDoc searches in a worker that it creates from a blob
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="assets/favicon.svg">
"""
SWAGGER = """\
<link rel="stylesheet" href="assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="assets/swagger-ui-bundle.js"></script>
<script src="assets/swagger-ui.js" data-url="openapi.json"></script>
</body>
</html>
"""
REDOC = """\
<style>body { margin: 0 }</style>
</head>
<body>
<redoc spec-url="openapi.json"></redoc>
<script src="assets/redoc.standalone.js"></script>
</body>
</html>
"""


class ApiDocument:
    """The OpenAPI document as bytes. It is built at the first request, because that takes a second or two of CPU."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._bytes: bytes | None = None
        self._etag = ""
        self._building: asyncio.Task[None] | None = None

    async def respond(self, request: Request) -> Response:
        """Return the document, or 304 if the client's ETag matches."""
        if self._bytes is None:
            if self._building is None or self._building.done():
                self._building = asyncio.create_task(asyncio.to_thread(self._build))
            await asyncio.shield(self._building)
        headers = {"ETag": self._etag, "Cache-Control": "public, no-cache"}
        if matches_etag(request.headers.getlist("if-none-match"), self._etag):
            return Response(status_code=304, headers=headers)
        return Response(self._bytes, headers=headers, media_type="application/json")

    def _build(self) -> None:
        content = json.dumps(self._app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
        self._etag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
        self._bytes = content


def install(app: FastAPI, prefix: str, title: str) -> None:
    """Add `openapi.json`, `docs`, `redoc` and `assets` under `prefix`.

    Links in the pages are relative, so a proxy may mount them under another path.
    """
    router = APIRouter(prefix=prefix, include_in_schema=False)
    document = ApiDocument(app)
    router.add_api_route("/openapi.json", document.respond, methods=["GET"])

    @router.get("/docs")
    async def swagger_ui() -> HTMLResponse:
        return _page(f"{title}: Swagger UI", SWAGGER)

    @router.get("/redoc")
    async def redoc() -> HTMLResponse:
        return _page(f"{title}: ReDoc", REDOC)

    @router.get("/docs/")
    @router.get("/redoc/")
    async def without_slash(request: Request) -> Response:
        # the pages' relative links would be wrong below this path, so it redirects, with a relative URL
        return Response(status_code=308, headers={"Location": f"../{request.url.path.split('/')[-2]}"})

    app.include_router(router)
    app.mount(f"{prefix}/assets", StaticFiles(directory=ASSETS), name="assets")


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(HEAD.format(title=escape(title)) + body, headers={"Content-Security-Policy": POLICY})
