"""The demo items in the OpenAPI document."""

from __future__ import annotations

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from support.http_clients import client_for
from support.http_contract import operations

# generated clients name their methods after these ids, so a change would break their users
STABLE_IDS = {
    "POST /items/": "create_item",
    "GET /items/": "list_items",
    "GET /items/search/": "search_items",
    "GET /items/cache/clear": "clear_cache",
    "GET /items/cached/{item_id}": "get_cached_item",
    "GET /items/{item_id}": "get_item",
    "PUT /items/{item_id}": "update_item",
    "DELETE /items/{item_id}": "delete_item",
}


def test_ids_stay() -> None:
    found = {str(each): each.definition["operationId"] for each in operations() if each.path.startswith("/items/")}
    assert found == STABLE_IDS


@pytest.mark.parametrize(("demo_items", "present"), [("on", True), ("off", False), (None, False)])
async def test_the_demo_is_in_production_only_when_asked_for(
    settings: Settings, state: AppState, demo_items: str | None, *, present: bool
) -> None:
    app = settings.app.model_copy(update={"env": "production", "demo_items": demo_items})
    async with client_for(settings.model_copy(update={"app": app}), state) as api:
        document = (await api.get("http://ignite.test/api/openapi.json")).json()
        assert any("/items/" in path for path in document["paths"]) is present
        assert any(tag["name"] == "items" for tag in document["tags"]) is present
        assert (await api.get("/items/")).status_code == (200 if present else 404)
