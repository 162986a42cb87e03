"""Swagger UI and ReDoc from files of this package: they work without any other host."""

from __future__ import annotations

from html import escape
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

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


def install(app: FastAPI, prefix: str, title: str) -> None:
    """`docs`, `redoc` and `assets` under `prefix`. Their links are relative, so a proxy may mount them elsewhere."""
    router = APIRouter(prefix=prefix, include_in_schema=False)

    @router.get("/docs")
    async def swagger_ui() -> HTMLResponse:
        return _page(f"{title}: Swagger UI", SWAGGER)

    @router.get("/redoc")
    async def redoc() -> HTMLResponse:
        return _page(f"{title}: ReDoc", REDOC)

    app.include_router(router)
    app.mount(f"{prefix}/assets", StaticFiles(directory=ASSETS), name="assets")


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(HEAD.format(title=escape(title)) + body, headers={"Content-Security-Policy": POLICY})
