"""The look-up of operations refuses paths that it could not serve as they are declared."""

from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI

from fastapi_ignite.http.route_table import RouteTable


async def answer(app: FastAPI, path: str) -> httpx2.Response:
    app.add_middleware(RouteTable, application=app)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://ignite.test") as client:
        return await client.get(path)


def routes(*paths: str) -> FastAPI:
    """An application whose operations answer with their declared path."""
    app = FastAPI()
    for path in paths:

        async def endpoint(path: str = path) -> str:
            return path

        app.add_api_route(path, endpoint)
    return app


async def test_a_path_behind_a_pattern_that_hides_it_stops_the_program() -> None:
    with pytest.raises(ValueError, match=r"declare /things/special before /things/\{id\}"):
        await answer(routes("/things/{id}", "/things/special"), "/")


async def test_a_pattern_with_a_slash_at_its_end_stops_the_program() -> None:
    with pytest.raises(ValueError, match="without a slash"):
        await answer(routes("/things/{id}/"), "/")


@pytest.mark.parametrize(
    ("called", "found"),
    [
        ("/things/special", "/things/special"),
        ("/things/special/", "/things/special"),
        ("/things/other", "/things/{id}"),
        ("/lists/", "/lists/"),
        ("/lists", "/lists/"),
        ("/things/a/b", "/things/{rest:path}"),
    ],
)
async def test_the_first_declared_path_that_fits_is_called(called: str, found: str) -> None:
    app = routes("/lists/", "/things/special", "/things/{id}", "/things/{rest:path}")
    assert (await answer(app, called)).json() == found
