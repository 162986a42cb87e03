"""A small application for tests of the server under it. It records what it notices of its callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

BLOCK = b"x" * 65536
noticed = {"blocks": 0, "left": 0}


async def hello(_: Request) -> Response:
    return Response(b"hello")


async def headers(request: Request) -> JSONResponse:
    """Return the names of the headers that the application sees after the whole body has arrived."""
    await request.body()
    return JSONResponse(request.headers.keys())


async def early(_: Request) -> Response:
    """Answer without waiting for the body."""
    return Response(b"no", status_code=401)


async def endless(_: Request) -> StreamingResponse:
    """Send more data than all buffers on the way can hold."""

    async def blocks() -> AsyncGenerator[bytes]:
        noticed["blocks"] = 0
        try:
            while True:
                yield BLOCK
                noticed["blocks"] += 1
                await asyncio.sleep(0)
        finally:
            noticed["left"] += 1

    return StreamingResponse(blocks())


async def slow(_: Request) -> StreamingResponse:
    """Send a small piece now and then, without an end."""

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"."
                await asyncio.sleep(0.05)
        finally:
            noticed["left"] += 1

    return StreamingResponse(pieces())


async def tell(_: Request) -> JSONResponse:
    return JSONResponse(noticed)


_routes = Starlette(
    routes=[
        Route("/hello", hello),
        Route("/headers", headers, methods=["POST"]),
        Route("/early", early, methods=["POST"]),
        Route("/endless", endless),
        Route("/slow", slow),
        Route("/noticed", tell),
    ]
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await _routes(scope, receive, send)
