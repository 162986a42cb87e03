"""Tests of the OpenAPI document, from which clients are generated."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import httpx2
import pytest
from fastapi.openapi.models import OpenAPI

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from support.http_clients import client_for
from support.http_contract import PROBLEM, Operation, document, operations

OPERATIONS = operations()
# Generated clients name their methods after these ids, so a change breaks the callers.
STABLE_IDS = {
    "GET /health": "health",
    "GET /app-info": "app_info",
    "POST /tenants/create": "create_tenant",
    "POST /billing/subscribe": "subscribe",
    "POST /ingestion/projects/create": "create_project",
    "POST /ingestion/projects/{project_id}/ensure_vector_store": "ensure_vector_store",
    "POST /ingestion/projects/{project_id}/upload_and_attach": "upload_and_attach",
    "GET /ingestion/projects/{project_id}/files": "list_files",
    "DELETE /ingestion/projects/{project_id}/remove_file": "remove_file",
    "POST /query/ask": "ask",
    "POST /query/search": "search",
    "GET /query/messages/{message_id}": "read_message",
    "GET /limits/current": "current_limits",
}


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


FILE_PICKER = {"type": "string", "format": "binary"}
UPSERTS = {"PUT /admin/plans/{plan_id}"}


def expected_errors(operation: Operation) -> set[str]:
    """Return the 4xx statuses that follow from the inputs of an operation."""
    expected: set[str] = set()
    if operation.path.startswith(("/health", "/app-info")):
        return expected
    expected |= {"429"} if operation.public else {"401", "429"}
    expected |= {"403"} if operation.for_tenants else set()
    if any(operation.parameters(place) - {"x-tenant-id"} for place in ("path", "query")):
        expected |= {"422"}
    if operation.takes_json:
        expected |= {"400", "413", "422"}
    if operation.takes_files:
        expected |= {"400", "402", "404", "413", "422"}
    if operation.parameters("path") and str(operation) not in UPSERTS:
        expected |= {"404"}
    if "idempotency-key" in operation.parameters("header"):
        expected |= {"400", "409", "422"}
    return expected


async def test_it_is_served_as_it_is_generated(client: httpx2.AsyncClient) -> None:
    answer = await client.get("http://ignite.test/api/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == document()


def test_it_is_openapi_3_1_and_whole() -> None:
    api = document()
    assert api["openapi"].startswith("3.1.")
    OpenAPI.model_validate(api)
    named = {f"#/components/{kind}/{name}" for kind in ("schemas", "examples") for name in api["components"][kind]}
    assert references(api) <= named
    assert references(api)


def test_it_is_the_same_every_time() -> None:
    assert json.dumps(document()) == json.dumps(document())


def test_every_tag_has_an_operation_and_an_explanation() -> None:
    used = {tag for operation in OPERATIONS for tag in operation.definition["tags"]}
    told = {tag["name"]: tag["description"] for tag in document()["tags"]}
    assert set(told) == used
    assert all(told.values())


def test_ids_are_unique_and_stay() -> None:
    found = {str(operation): operation.definition["operationId"] for operation in OPERATIONS}
    assert {name: found.get(name) for name in STABLE_IDS} == STABLE_IDS
    assert [name for name, number in Counter(found.values()).items() if number > 1] == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
class TestEachOperation:
    def test_it_has_a_tag_and_a_summary(self, operation: Operation) -> None:
        assert len(operation.definition["tags"]) == 1
        assert operation.definition["summary"]

    def test_it_names_the_errors_it_answers_with(self, operation: Operation) -> None:
        responses = operation.definition["responses"]
        assert expected_errors(operation) - set(responses) == set()
        assert any(status.startswith("2") for status in responses)

    def test_its_errors_are_problems(self, operation: Operation) -> None:
        for status, response in operation.definition["responses"].items():
            if status.startswith("4"):
                assert response["description"]
                (media_type,) = response["content"]
                assert media_type == PROBLEM
                assert response["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}

    def test_it_wants_a_token_unless_it_is_public(self, operation: Operation) -> None:
        assert ("security" in operation.definition) is not operation.public


def test_every_error_has_the_members_of_a_problem() -> None:
    problem = document()["components"]["schemas"]["Problem"]
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem["properties"])
    assert problem["additionalProperties"] is True


def test_the_frameworks_own_error_is_gone() -> None:
    assert "HTTPValidationError" not in json.dumps(document())


def test_the_files_of_an_upload_are_described() -> None:
    (upload, version) = [operation for operation in OPERATIONS if operation.takes_files]
    of_version = version.definition["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert of_version["required"] == ["file"]
    assert of_version["properties"]["file"] | {"description": ""} == FILE_PICKER | {"description": ""}
    body = upload.definition["requestBody"]
    schema = body["content"]["multipart/form-data"]["schema"]
    assert body["required"] is True
    assert schema["required"] == ["files"]
    assert schema["properties"]["files"]["type"] == "array"
    assert schema["properties"]["files"]["items"] == FILE_PICKER


async def test_the_names_are_the_settings(settings: Settings, state: AppState) -> None:
    named = {"project_name": "Acme", "project_description": "An API", "version": "4.7.11"}
    app = settings.app.model_copy(update=named)
    async with client_for(settings.model_copy(update={"app": app}), state) as api:
        assert (await api.get("/app-info")).json() == {"name": "Acme", "description": "An API", "version": "4.7.11"}
        info = (await api.get("http://ignite.test/api/openapi.json")).json()["info"]
    assert (info["title"], info["version"]) == ("Acme", "4.7.11")
    assert "An API" in info["description"]


async def test_what_the_documentation_shows(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"status": "ok", "version": "1"}
    assert (await client.get("/app-info")).json() == {
        "name": "FastAPI-Ignite",
        "description": "A FastAPI application",
        "version": "0.1.0",
    }
