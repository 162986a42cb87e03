"""The OpenAPI document, and Swagger UI and ReDoc from files of this package: they work without any other host."""

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
# styles are written into the page by both programs; ReDoc searches in a worker made from a blob
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
    """The OpenAPI document as bytes, made when it is first asked for: that takes a second or two of a processor."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._bytes: bytes | None = None
        self._etag = ""
        self._making: asyncio.Task[None] | None = None

    async def respond(self, request: Request) -> Response:
        """The document, or 304 where the caller has it already."""
        if self._bytes is None:
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(asyncio.to_thread(self._make))
            await asyncio.shield(self._making)
        headers = {"ETag": self._etag, "Cache-Control": "public, no-cache"}
        if matches_etag(request.headers.getlist("if-none-match"), self._etag):
            return Response(status_code=304, headers=headers)
        return Response(self._bytes, headers=headers, media_type="application/json")

    def _make(self) -> None:
        made = json.dumps(self._app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
        self._etag = f'"{hashlib.blake2b(made, digest_size=16).hexdigest()}"'
        self._bytes = made


def install(app: FastAPI, prefix: str, title: str) -> None:
    """`openapi.json`, `docs`, `redoc` and `assets` under `prefix`.

    Links of the pages are relative, so a proxy may mount them elsewhere.
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
        # relative, because the page's own links are: they would lead below this path
        return Response(status_code=308, headers={"Location": f"../{request.url.path.split('/')[-2]}"})

    app.include_router(router)
    app.mount(f"{prefix}/assets", StaticFiles(directory=ASSETS), name="assets")


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(HEAD.format(title=escape(title)) + body, headers={"Content-Security-Policy": POLICY})
