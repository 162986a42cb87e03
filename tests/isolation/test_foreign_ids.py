"""Another tenant's id must be answered like an unknown id, at every place of every operation, and change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import httpx2
import pytest

from fastapi_ignite.infra.db import Database
from isolation.catalogue import TenantTable
from isolation.id_places import OPERATIONS, Place, places, request
from isolation.sample_tenant import SampleTenant, SampleTenantFactory, fingerprint
from support.both_engines import ENGINES
from support.http_clients import TenantClient
from support.http_contract import CHANGING_HEADERS, COUNTDOWN_HEADERS, Operation

TENANT_OPERATIONS = [operation for operation in OPERATIONS if operation.for_tenants]
# the status for an id of somebody else is 404, except at these places
STATUS = {"after": 200, "tenant_id": 403, "x-tenant-id": 403}


@dataclass(frozen=True, slots=True)
class Case:
    """An operation, and the places that get an id of somebody else; all other ids belong to the caller."""

    operation: Operation
    places: tuple[Place, ...]

    @property
    def status(self) -> int:
        """Return the expected status; a tenant's id is checked first, then the ids of the path and the body."""
        expected = {STATUS.get(place.name, 404) for place in self.places}
        return next(status for status in (403, 404, 200) if status in expected)

    def __str__(self) -> str:
        return f"{self.operation!s:66} {' + '.join(map(str, self.places))}"


def cases() -> Iterator[Case]:
    """Yield a case for each place, and one for all places of an operation together.

    In the last case all ids belong to one foreign project, so that they fit together.
    """
    for operation in TENANT_OPERATIONS:
        found = places(operation)
        yield from (Case(operation, (place,)) for place in found)
        own = tuple(place for place in found if place.name not in {"tenant_id", "x-tenant-id"})
        if len(own) > 1:
            yield Case(operation, own)


async def call(caller: SampleTenant, operation: Operation, sent: Mapping[Place, str]) -> httpx2.Response:
    made = request(operation, caller.ids, sent)
    if operation.path.endswith("/events"):  # it may have no end, and this client reads to the end
        made["method"] = "HEAD"
    made["headers"] = {**caller.tenant.headers, **made["headers"]}
    return await caller.tenant.http.request(**made)


def visible_parts(answer: httpx2.Response, sent: Mapping[Place, str]) -> tuple[int, bytes, dict[str, str]]:
    """Return what the caller can see of an answer, without the sent ids and without what differs at each request."""
    body = answer.content.replace(answer.headers["x-request-id"].encode(), b"REQUEST")
    for value in sent.values():
        body = body.replace(value.encode(), b"ID")
    headers = {
        name: re.sub(r"\d+", "N", value) if name in COUNTDOWN_HEADERS else value
        for name, value in answer.headers.items()
        if name not in CHANGING_HEADERS
    }
    return answer.status_code, body, headers


def similar_unknown_id(known: str) -> str:
    """Return an unknown id that sorts near a known one; ids begin with the time at which they were made."""
    return known[:24] + uuid4().hex[:12]


async def faults_of(case: Case, sample_tenant: SampleTenant, other_tenant: SampleTenant) -> str:
    """Return how a caller could distinguish a foreign id from an unknown one, or an empty text."""
    foreign = {place: sample_tenant.ids[place.name] for place in case.places}
    unknown = {place: similar_unknown_id(value) for place, value in foreign.items()}
    answers = [visible_parts(await call(other_tenant, case.operation, sent), sent) for sent in (foreign, unknown)]
    if answers[0] != answers[1]:
        return f"{answers[0]} is not {answers[1]}"
    return "" if answers[0][0] == case.status else f"answered {answers[0]}"


def test_the_sample_tenant_has_an_id_for_every_place(sample_tenant: SampleTenant) -> None:
    """A new kind of id needs a row in its feature's `create_rows`, or its name in `shared_ids`."""
    taken = {place.name for operation in TENANT_OPERATIONS for place in places(operation)}
    assert taken == set(sample_tenant.ids)


async def test_sweep(
    sample_tenant: SampleTenant,
    other_tenant: SampleTenant,
    engine_name: str,
    database: Database,
    tables: Sequence[TenantTable],
) -> None:
    """The caller works on another engine than the project whose ids it sends. `pytest -s` prints the table."""
    other = next((name for name in ENGINES if name != engine_name), engine_name)
    before = await fingerprint(database, sample_tenant.tenant.id, tables)
    found = {
        str(case): await faults_of(case, sample_tenant.at(engine_name), other_tenant.at(other)) for case in cases()
    }
    for case in cases():
        print(f"{case!s:130} {case.status}  {found[str(case)] or 'as an unknown id'}")  # noqa: T201  the table
    print(f"{len(found)} cases, {len(TENANT_OPERATIONS)} operations")  # noqa: T201  the table
    assert {case: fault for case, fault in found.items() if fault} == {}
    assert await fingerprint(database, sample_tenant.tenant.id, tables) == before


@pytest.mark.usefixtures("worker")
async def test_the_owner_is_not_refused(make_sample_tenant: SampleTenantFactory, engine_name: str) -> None:
    """The owner's requests fill all places; if they failed too, the refusals above would prove nothing."""
    owner = (await make_sample_tenant("wombat")).at(engine_name)
    # what belongs to something is removed before it
    removing_last = sorted(
        TENANT_OPERATIONS,
        key=lambda each: (each.method == "DELETE", each.path.endswith("/projects/{project_id}"), -each.path.count("/")),
    )
    refused = {}
    for operation in removing_last:
        answer = await call(owner, operation, {place: owner.ids[place.name] for place in places(operation)})
        # 409 is about the state of what the owner has: the file is finished, and can be neither cancelled nor retried
        if not answer.is_success and answer.status_code != httpx2.codes.CONFLICT:
            refused[str(operation)] = answer.text
    assert refused == {}


async def test_the_same_question_finds_nothing_elsewhere(
    tenant: TenantClient, sample_tenant: SampleTenant, engine_name: str
) -> None:
    own = await tenant.create_project()
    answer = (await tenant.ask(own, sample_tenant.question)).json()
    assert answer["answerable"] is False
    assert sample_tenant.word not in answer["answer"]
    assert (await tenant.search(own, sample_tenant.question)).json()["results"] == []
    theirs = sample_tenant.at(engine_name).ids["project_id"]
    assert (await sample_tenant.tenant.ask(theirs, sample_tenant.question)).json()["answer"] == sample_tenant.fact
    (found,) = (await sample_tenant.tenant.search(theirs, sample_tenant.question)).json()["results"]
    assert found["text"] == sample_tenant.fact


async def test_the_same_name_is_a_project_of_ones_own(tenant: TenantClient, sample_tenant: SampleTenant) -> None:
    answer = await tenant.post("/ingestion/projects/create", params={"name": sample_tenant.project_name})
    assert answer.json()["status"] == "created"
    assert answer.json()["id"] != sample_tenant.ids["project_id"]


async def test_the_same_idempotency_key_is_free(tenant: TenantClient, sample_tenant: SampleTenant) -> None:
    """The request is the very one that the other tenant has made with this key."""
    answer = await tenant.post(
        "/ingestion/projects/create",
        params={"name": sample_tenant.project_name},
        headers={"Idempotency-Key": sample_tenant.key},
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "created")


async def test_the_same_bytes_are_a_document_of_ones_own(
    tenant: TenantClient, sample_tenant: SampleTenant, worker: None
) -> None:
    """If tenants shared documents, a tenant could learn which documents another one has."""
    del worker
    own = await tenant.create_project()
    (file,) = (await tenant.upload(own, ("mine.txt", sample_tenant.fact.encode()))).json()["files"]
    assert (file["status"], file["deduplicated"], file["characters"]) == ("completed", False, len(sample_tenant.fact))
    assert file["id"] != sample_tenant.ids["openai_file_id"]


@pytest.mark.usefixtures("worker")
async def test_sql_in_a_text_is_a_text(
    tenant: TenantClient, sample_tenant: SampleTenant, database: Database, tables: Sequence[TenantTable]
) -> None:
    """A text from outside must not set the role or the tenant of a transaction."""
    before = await fingerprint(database, sample_tenant.tenant.id, tables)
    owner = sample_tenant.tenant.id
    attempt = (
        f"'); SET LOCAL ROLE ignite_system; SELECT set_config('app.tenant_id', '{owner}', false); DELETE FROM files;--"  # noqa: S608  what a caller might try
    )
    project = await tenant.create_project(attempt)
    assert await tenant.create_project(attempt) == project
    (file,) = (await tenant.upload(project, (f"{attempt}.txt", attempt.encode()))).json()["files"]
    assert (file["filename"], file["status"]) == (f"{attempt}.txt", "completed")
    answer = (await tenant.ask(project, attempt)).json()
    assert {citation["file_id"] for citation in answer["citations"]} <= {file["id"]}
    assert sample_tenant.word not in answer["answer"]
    assert (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"][0]["filename"] == f"{attempt}.txt"
    assert await fingerprint(database, owner, tables) == before
