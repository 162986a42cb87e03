"""An invalid question is refused before it costs anything, and before any engine is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest

from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient
from support.tenant_records import counter, rows_of

JSON = {"Content-Type": "application/json"}


async def unasked(tenant: TenantClient, database: Database) -> bool:
    rows = await rows_of(database, tenant.id, "SELECT 1 FROM messages UNION ALL SELECT 1 FROM conversations")
    return not rows and await counter(database, tenant.id, "messages") == (0, 0)


@of_the_local_engine
@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"question": ""}, "body.question"),
        ({"question": " \t\n\u3000"}, "body.question"),
        ({"question": "What\u0000?"}, "body.question"),
        ({"question": "x" * 8001}, "body.question"),
        ({"question": None}, "body.question"),
        ({"question": 7}, "body.question"),
        ({"question": ["Why?"]}, "body.question"),
        ({"project_id": "docs"}, "body.project_id"),
        ({"project_id": None}, "body.project_id"),
        ({"project_id": 7}, "body.project_id"),
        ({"conversation_id": "first"}, "body.conversation_id"),
    ],
)
async def test_a_wrong_field_is_named(
    tenant: TenantClient, database: Database, fields: dict[str, object], where: str
) -> None:
    project = await tenant.create_project()
    answer = await tenant.post("/query/ask", json={"project_id": project, "question": "Why?", **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["detail"].startswith(where)
    assert len(answer.text) < 1000, "the value is not repeated"
    assert await unasked(tenant, database)


@of_the_local_engine
@pytest.mark.parametrize("missing", ["project_id", "question"])
async def test_a_missing_field_is_named(tenant: TenantClient, missing: str) -> None:
    body = {"project_id": str(new_id()), "question": "Why?"}
    del body[missing]
    answer = await tenant.post("/query/ask", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"body.{missing}: Field required")


@of_the_local_engine
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"project_id": ', 400),
        (b"not json", 400),
        (b"\xff\xfe\x00", 400),
        (b"[" * 100_000, 400),
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"project_id": "01a20d16-2599-7000-8000-000000000000", "question": "\\ud800"}', 422),
    ],
)
async def test_a_body_that_is_no_question(tenant: TenantClient, database: Database, body: bytes, status: int) -> None:
    answer = await tenant.post("/query/ask", content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert await unasked(tenant, database)


async def test_eight_thousand_characters_are_a_question(tenant: TenantClient) -> None:
    project = await tenant.create_project()
    assert (await tenant.ask(project, " " + "ä" * 8000 + " ")).status_code == 200


@of_the_local_engine
async def test_a_megabyte_is_refused_unread(tenant: TenantClient, database: Database) -> None:
    project = await tenant.create_project()
    answer = await tenant.ask(project, "x" * 2**20)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert await unasked(tenant, database)


@of_the_local_engine
@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
async def test_a_body_without_a_length_is_cut_whatever_it_says_it_is(tenant: TenantClient, content_type: str) -> None:
    taken = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal taken
        for _ in range(64):
            taken += 2**16
            yield b"x" * 2**16

    answer = await tenant.post("/query/ask", content=endless(), headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert taken <= 2**19


@of_the_local_engine
async def test_without_a_token_the_body_is_not_read(tenant: TenantClient) -> None:
    taken = 0

    async def body() -> AsyncGenerator[bytes]:
        nonlocal taken
        taken += 1
        yield json.dumps({"project_id": str(new_id()), "question": "Why?"}).encode()

    answer = await tenant.http.post("/query/ask", content=body(), headers=JSON)
    assert answer.status_code == 401
    assert taken == 0
