"""Another tenant's id is answered as an id of nothing, at every place of every operation, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import httpx2
import pytest

from fastapi_ignite.infra.db import Database
from isolation.catalogue import TenantTable
from isolation.household import Household, HouseholdFactory, fingerprint
from isolation.id_places import OPERATIONS, Place, places, request
from support.both_engines import ENGINES
from support.http_clients import TenantClient
from support.http_contract import Operation

OF_TENANTS = [operation for operation in OPERATIONS if operation.for_tenants]
# an id that the caller has not is 404, but for these
STATUS = {"after": 200, "tenant_id": 403, "x-tenant-id": 403}
COUNTED_DOWN = {"ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"}


@dataclass(frozen=True, slots=True)
class Case:
    """An operation, and the places that get an id the caller has not; the other ids are the caller's own."""

    operation: Operation
    places: tuple[Place, ...]

    @property
    def status(self) -> int:
        """Of the refusal. A tenant's id is looked at first, then the path's and the body's."""
        expected = {STATUS.get(place.name, 404) for place in self.places}
        return next(status for status in (403, 404, 200) if status in expected)

    def __str__(self) -> str:
        return f"{self.operation!s:66} {' + '.join(map(str, self.places))}"


def cases() -> Iterator[Case]:
    """Each place alone, and all of an operation's together: what belongs to one foreign project may match there."""
    for operation in OF_TENANTS:
        found = places(operation)
        yield from (Case(operation, (place,)) for place in found)
        own = tuple(place for place in found if place.name not in {"tenant_id", "x-tenant-id"})
        if len(own) > 1:
            yield Case(operation, own)


async def call(caller: Household, operation: Operation, sent: Mapping[Place, str]) -> httpx2.Response:
    made = request(operation, caller.ids, sent)
    made["headers"] = {**caller.tenant.headers, **made["headers"]}
    return await caller.tenant.http.request(**made)


def told(answer: httpx2.Response, sent: Mapping[Place, str]) -> tuple[int, bytes, dict[str, str]]:
    """Everything the caller can see, without what was sent and what differs from request to request."""
    body = answer.content.replace(answer.headers["x-request-id"].encode(), b"REQUEST")
    for value in sent.values():
        body = body.replace(value.encode(), b"ID")
    headers = {
        name: re.sub(r"\d+", "N", value) if name in COUNTED_DOWN else value
        for name, value in answer.headers.items()
        if name != "x-request-id"
    }
    return answer.status_code, body, headers


def neighbour(known: str) -> str:
    """An id that nobody has and that sorts where the known one does: ids begin with the time they were made."""
    return known[:24] + uuid4().hex[:12]


async def faults_of(case: Case, household: Household, stranger: Household) -> str:
    """How a foreign id is told from an unknown one, if it is."""
    foreign = {place: household.ids[place.name] for place in case.places}
    unknown = {place: neighbour(value) for place, value in foreign.items()}
    answers = [told(await call(stranger, case.operation, sent), sent) for sent in (foreign, unknown)]
    if answers[0] != answers[1]:
        return f"{answers[0]} is not {answers[1]}"
    return "" if answers[0][0] == case.status else f"answered {answers[0]}"


def test_the_household_has_an_id_for_every_place(household: Household) -> None:
    """A new kind of id is made in `create_rows` of its feature's contract, or named in `shared_ids` of no tenant."""
    taken = {place.name for operation in OF_TENANTS for place in places(operation)}
    assert taken == set(household.ids)


async def test_sweep(
    household: Household, stranger: Household, engine_name: str, database: Database, tables: Sequence[TenantTable]
) -> None:
    """With ids of each engine's project, by one who works on the other engine. The table is shown with `-s`."""
    other = next((name for name in ENGINES if name != engine_name), engine_name)
    before = await fingerprint(database, household.tenant.id, tables)
    found = {str(case): await faults_of(case, household.at(engine_name), stranger.at(other)) for case in cases()}
    for case in cases():
        print(f"{case!s:130} {case.status}  {found[str(case)] or 'as an unknown id'}")  # noqa: T201  the table
    print(f"{len(found)} cases, {len(OF_TENANTS)} operations")  # noqa: T201  the table
    assert {case: fault for case, fault in found.items() if fault} == {}
    assert await fingerprint(database, household.tenant.id, tables) == before


@pytest.mark.usefixtures("worker")
async def test_the_owner_is_not_refused(settle_down: HouseholdFactory, engine_name: str) -> None:
    """What the refusals of the sweep are not: requests that nobody could make. All places are filled."""
    owner = (await settle_down("wombat")).at(engine_name)
    removing_last = sorted(OF_TENANTS, key=lambda operation: operation.method == "DELETE")
    refused = {}
    for operation in removing_last:
        answer = await call(owner, operation, {place: owner.ids[place.name] for place in places(operation)})
        if not answer.is_success:
            refused[str(operation)] = answer.text
    assert refused == {}


async def test_the_same_question_finds_nothing_elsewhere(
    tenant: TenantClient, household: Household, engine_name: str
) -> None:
    own = await tenant.create_project()
    answer = (await tenant.ask(own, household.question)).json()
    assert answer["answerable"] is False
    assert household.word not in answer["answer"]
    assert (await tenant.search(own, household.question)).json()["results"] == []
    theirs = household.at(engine_name).ids["project_id"]
    assert (await household.tenant.ask(theirs, household.question)).json()["answer"] == household.fact
    (found,) = (await household.tenant.search(theirs, household.question)).json()["results"]
    assert found["text"] == household.fact


async def test_the_same_name_is_a_project_of_ones_own(tenant: TenantClient, household: Household) -> None:
    answer = await tenant.post("/ingestion/projects/create", params={"name": household.project_name})
    assert answer.json()["status"] == "created"
    assert answer.json()["id"] != household.ids["project_id"]


async def test_the_same_idempotency_key_is_free(tenant: TenantClient, household: Household) -> None:
    """For the very request that the household made with it."""
    answer = await tenant.post(
        "/ingestion/projects/create",
        params={"name": household.project_name},
        headers={"Idempotency-Key": household.key},
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "created")


async def test_the_same_bytes_are_a_document_of_ones_own(
    tenant: TenantClient, household: Household, worker: None
) -> None:
    """To share a stranger's document would tell that the stranger has it."""
    del worker
    own = await tenant.create_project()
    (file,) = (await tenant.upload(own, ("mine.txt", household.fact.encode()))).json()["files"]
    assert (file["status"], file["deduplicated"], file["characters"]) == ("completed", False, len(household.fact))
    assert file["id"] != household.ids["openai_file_id"]


@pytest.mark.usefixtures("worker")
async def test_sql_in_a_text_is_a_text(
    tenant: TenantClient, household: Household, database: Database, tables: Sequence[TenantTable]
) -> None:
    """Neither role nor tenant of a transaction can be set from outside."""
    before = await fingerprint(database, household.tenant.id, tables)
    owner = household.tenant.id
    attempt = (
        f"'); SET LOCAL ROLE ignite_system; SELECT set_config('app.tenant_id', '{owner}', false); DELETE FROM files;--"  # noqa: S608  what a caller might try
    )
    project = await tenant.create_project(attempt)
    assert await tenant.create_project(attempt) == project
    (file,) = (await tenant.upload(project, (f"{attempt}.txt", attempt.encode()))).json()["files"]
    assert (file["filename"], file["status"]) == (f"{attempt}.txt", "completed")
    answer = (await tenant.ask(project, attempt)).json()
    assert {citation["file_id"] for citation in answer["citations"]} <= {file["id"]}
    assert household.word not in answer["answer"]
    assert (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"][0]["filename"] == f"{attempt}.txt"
    assert await fingerprint(database, owner, tables) == before
