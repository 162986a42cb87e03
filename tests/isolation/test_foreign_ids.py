"""Another tenant's id is the same 404 as an id of nothing, on every route, and changes nothing."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from bookkeeping import rows_of
from fastapi_ignite.infra.db import Database
from http_clients import TenantClient
from http_contract import Operation, operations
from isolation.household import FACT, QUESTION, Household

# each operation that takes an id, with what else it needs to get as far as looking the id up
REQUESTS: dict[str, dict[str, Any]] = {
    "POST /ingestion/projects/{project_id}/ensure_vector_store": {},
    "POST /ingestion/projects/{project_id}/upload_and_attach": {"files": [("files", ("a.txt", b"text"))]},
    "GET /ingestion/projects/{project_id}/files": {},
    "DELETE /ingestion/projects/{project_id}/remove_file": {"params": {"openai_file_id": "{file}"}},
    "POST /query/ask": {"json": {"project_id": "{project_id}", "question": QUESTION}},
    "GET /query/messages/{message_id}": {},
}
OPERATIONS = {str(operation): operation for operation in operations()}
LOOKS = (
    "SELECT count(*) AS number, max(updated_at) AS changed FROM projects",
    "SELECT count(*) AS number, max(updated_at) AS changed FROM files",
    "SELECT count(*) AS number, max(updated_at) AS changed FROM messages",
    "SELECT count(*) AS number, max(updated_at) AS changed FROM conversations",
    "SELECT count(*) AS number, count(hidden_at) AS hidden FROM documents",
    "SELECT count(*) AS number FROM chunks",
)


def known_ids(household: Household) -> dict[str, str]:
    return {"project_id": household.project, "message_id": household.message, "file": household.file}


def no_ids() -> dict[str, str]:
    return {name: str(uuid4()) for name in ("project_id", "message_id", "file")}


def filled(value: Any, ids: dict[str, str]) -> Any:
    """The request with the ids in their places."""
    if isinstance(value, dict):
        return {name: filled(item, ids) for name, item in value.items()}
    return value.format(**ids) if isinstance(value, str) else value


async def send(caller: TenantClient, operation: Operation, ids: dict[str, str], **extra: Any) -> httpx2.Response:
    request = {**filled(REQUESTS[str(operation)], ids), **extra}
    return await caller.http.request(operation.method, operation.url(**ids), headers=caller.headers, **request)


def without_its_id(answer: httpx2.Response) -> dict[str, Any]:
    return {**answer.json(), "request_id": None}


async def state_of(database: Database, household: Household) -> list[dict[str, Any]]:
    """Enough of the household's rows to notice that one was added, changed, hidden or removed."""
    return [dict(row) for statement in LOOKS for row in await rows_of(database, household.tenant.id, statement)]


def test_every_route_that_takes_an_id_of_a_project_or_message_is_looked_at() -> None:
    taking = {
        name for name, operation in OPERATIONS.items() if operation.parameters("path") & {"project_id", "message_id"}
    }
    assert taking | {"POST /query/ask"} == set(REQUESTS)


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_foreign_id_is_an_unknown_id(
    tenant: TenantClient, household: Household, database: Database, name: str
) -> None:
    operation = OPERATIONS[name]
    before = await state_of(database, household)
    foreign = await send(tenant, operation, known_ids(household))
    unknown = await send(tenant, operation, no_ids())
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert without_its_id(foreign) == without_its_id(unknown)
    assert set(foreign.headers) == set(unknown.headers)
    assert await state_of(database, household) == before


@pytest.mark.parametrize("name", [name for name in REQUESTS if "remove_file" not in name])
async def test_the_owner_is_not_refused(household: Household, name: str) -> None:
    """What the refusals above are not: requests that nobody could make."""
    answer = await send(household.tenant, OPERATIONS[name], known_ids(household))
    assert answer.status_code == 200, answer.text


async def test_a_foreign_file_in_a_project_of_ones_own(
    tenant: TenantClient, household: Household, database: Database
) -> None:
    before = await state_of(database, household)
    own = await tenant.create_project()
    answers = [
        await tenant.delete(f"/ingestion/projects/{own}/remove_file", params={"openai_file_id": file_id})
        for file_id in (household.file, str(uuid4()))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert without_its_id(answers[0]) == without_its_id(answers[1])
    pages = [
        await tenant.get(f"/ingestion/projects/{own}/files", params={"after": file_id})
        for file_id in (household.file, str(uuid4()))
    ]
    assert [page.json() for page in pages] == [pages[0].json()] * 2
    assert pages[0].json()["files"] == []
    assert await state_of(database, household) == before


async def test_a_foreign_conversation_in_a_project_of_ones_own(
    tenant: TenantClient, household: Household, database: Database
) -> None:
    before = await state_of(database, household)
    own = await tenant.create_project()
    answers = [
        await tenant.post("/query/ask", json={"project_id": own, "question": QUESTION, "conversation_id": conversation})
        for conversation in (household.conversation, str(uuid4()))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert without_its_id(answers[0]) == without_its_id(answers[1])
    assert await state_of(database, household) == before


async def test_the_same_question_finds_nothing_elsewhere(tenant: TenantClient, household: Household) -> None:
    own = await tenant.create_project()
    answer = (await tenant.ask(own, QUESTION)).json()
    assert answer["answerable"] is False
    assert FACT not in answer["answer"]
    assert (await household.tenant.ask(household.project, QUESTION)).json()["answer"] == FACT


async def test_the_same_name_is_a_project_of_ones_own(tenant: TenantClient, household: Household) -> None:
    answer = await tenant.post("/ingestion/projects/create", params={"name": "Secrets"})
    assert answer.json()["status"] == "created"
    assert answer.json()["id"] != household.project


async def test_the_same_bytes_are_a_document_of_ones_own(
    tenant: TenantClient, household: Household, worker: None
) -> None:
    """To share a stranger's document would tell that the stranger has it."""
    del worker
    own = await tenant.create_project()
    (file,) = (await tenant.upload(own, ("mine.txt", FACT.encode()))).json()["files"]
    assert (file["status"], file["deduplicated"], file["characters"]) == ("completed", False, len(FACT))
    assert file["id"] != household.file
