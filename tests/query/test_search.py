"""A search returns matching passages word for word, and uses no message of the plan."""

from __future__ import annotations

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.query.service import MOST_SEARCHES
from query.library import Library
from support import sample_files
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory
from support.interrupted_engines import interrupted
from support.tenant_records import counter, make_plan, rows_of

FACT = "The orchard keeps nine apple trees."
QUERY = "apple trees of the orchard"
STORED = "SELECT d.text, d.page_starts FROM files f JOIN documents d ON d.id = f.document_id WHERE f.id = :id"


async def remove(tenant: TenantClient, project: str, file_id: str) -> None:
    path = f"/ingestion/projects/{project}/remove_file"
    assert (await tenant.delete(path, params={"openai_file_id": file_id})).status_code == 200


async def test_a_result_has_the_documented_shape(tenant: TenantClient, project: str, engine_name: str) -> None:
    (file,) = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
    answer = await tenant.search(project, f"  {QUERY}\n")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (found,) = body["results"]
    assert 0 < found.pop("score") <= 1
    assert body == {
        "results": [
            {
                "file_id": file["id"],
                "filename": "orchard.txt",
                "version": 1,
                "text": FACT,
                "page": None,
                "char_start": 0,
                "char_end": len(FACT),
            }
        ],
        "engine": engine_name,
    }


@pytest.mark.parametrize(
    ("query", "filename", "said"),
    [
        ("first class train tickets", "handbook.md", "first class needs the approval"),
        ("Auszahlung der Überstunden am Donnerstag", "handbook-wide.txt", "Überstunden"),
        ("turning the compost heap", "notes.txt", "second Friday"),
        ("tonnes of tomatoes from Almere", "report.pdf", "412 tonnes"),
        ("lamps of the lighthouse keeper", "deck.pptx", "37 lamps"),
        ("who repaired the violin", "letter.docx", "luthier"),
    ],
)
async def test_the_best_passage_is_of_the_file_that_says_it(
    library: Library, query: str, filename: str, said: str
) -> None:
    best = (await library.search(query))[0]
    assert best["filename"] == filename
    assert said in best["text"]


async def test_results_are_the_stored_text_at_their_offsets_best_first(library: Library, database: Database) -> None:
    results = await library.search("the train, the ferry, the heap, the violin and the lighthouse", limit=50)
    assert len({found["filename"] for found in results}) > 3
    assert [found["score"] for found in results] == sorted((found["score"] for found in results), reverse=True)
    for found in results:
        (row,) = await rows_of(database, library.tenant.id, STORED, id=found["file_id"])
        assert row["text"][found["char_start"] : found["char_end"]] == found["text"] != ""
        assert 0 <= found["score"] <= 1
        if found["filename"] in library.texts:
            text = library.texts[found["filename"]]
            assert text[found["char_start"] : found["char_end"]] == found["text"], "found in the caller's own file"


async def test_a_passage_names_the_page_it_begins_on(tenant: TenantClient, worker: None, database: Database) -> None:
    del worker
    filler = "\n".join(f"Line {number} of the report speaks of nothing that anybody looks for." for number in range(45))
    pages = [f"Chapter {number}\n{filler}" for number in range(1, 6)] + [f"{filler}\nThe ferry leaves at noon."]
    project = await tenant.create_project()
    await tenant.upload(project, ("report.pdf", sample_files.make_pdf(pages)), wait_seconds=60)
    best = (await tenant.search(project, "when does the ferry leave", limit=1)).json()["results"][0]
    assert "The ferry leaves at noon." in best["text"]
    (row,) = await rows_of(database, tenant.id, STORED, id=best["file_id"])
    assert best["page"] == sum(start <= best["char_start"] for start in row["page_starts"]) > 4


async def test_no_more_than_the_limit_and_the_best_of_all(tenant: TenantClient, worker: None) -> None:
    del worker
    project = await tenant.create_project()
    fields = [(f"{number}.txt", f"Field {number} grows barley for the brewery.".encode()) for number in range(12)]
    await tenant.upload(project, *fields, wait_seconds=60)
    by_limit = {
        limit: (await tenant.search(project, "barley on field 7", limit=limit)).json()["results"]
        for limit in (1, 3, 50)
    }
    assert {limit: len(found) for limit, found in by_limit.items()} == {1: 1, 3: 3, 50: 12}
    assert by_limit[1][0]["filename"] == by_limit[50][0]["filename"] == "7.txt"
    assert len((await tenant.search(project, "barley on field 7")).json()["results"]) == 10, "the default"


async def test_no_more_of_a_file_than_wanted(tenant: TenantClient, project: str, worker: None) -> None:
    """Other files take the places of its further passages, and the best of each file is shown."""
    del worker
    long = "\n\n".join(f"Row {number}: {FACT} {'Nothing else is said of it. ' * 20}" for number in range(30))
    await tenant.upload(project, ("rows.txt", long.encode()), wait_seconds=60)
    everything = (await tenant.search(project, QUERY, limit=100)).json()["results"]
    assert len(everything) > 2
    for most in (1, 2):
        results = (await tenant.search(project, QUERY, limit=3, per_file=most)).json()["results"]
        names = [found["filename"] for found in results]
        assert sorted(names) == ["orchard.txt", *["rows.txt"] * most]
        best = [
            next(found for found in everything if found["filename"] == name) for name in ("orchard.txt", "rows.txt")
        ]
        assert all(found in results for found in best)


async def test_an_empty_project_has_no_results(tenant: TenantClient, engine_name: str) -> None:
    project = await tenant.create_project()
    answer = await tenant.search(project, QUERY)
    assert (answer.status_code, answer.json()) == (200, {"results": [], "engine": engine_name})


async def test_a_search_sees_its_own_project_only(tenant: TenantClient, project: str) -> None:
    other = await tenant.create_project("Other")
    await tenant.upload(other, ("other.txt", b"The apple trees of the neighbour's orchard are old."))
    for searched, filename in ((project, "orchard.txt"), (other, "other.txt")):
        results = (await tenant.search(searched, QUERY)).json()["results"]
        assert [found["filename"] for found in results] == [filename]


async def test_a_removed_file_is_found_under_its_twin_s_name_and_then_no_more(
    tenant: TenantClient, project: str
) -> None:
    twin = (await tenant.upload(project, ("twin.txt", FACT.encode()))).json()["files"][0]
    assert twin["deduplicated"]
    (found,) = (await tenant.search(project, QUERY)).json()["results"]
    assert found["filename"] == "orchard.txt"
    await remove(tenant, project, found["file_id"])
    (found,) = (await tenant.search(project, QUERY)).json()["results"]
    assert (found["file_id"], found["filename"], found["text"]) == (twin["id"], "twin.txt", FACT)
    await remove(tenant, project, twin["id"])
    assert (await tenant.search(project, QUERY)).json()["results"] == []


async def test_a_file_removed_while_it_is_found_does_not_leave(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState
) -> None:
    upload = await tenant.upload(project, ("record.txt", b"By our record, the orchard keeps apple trees and a pear."))
    gone = (await tenant.search(project, "nine apple trees")).json()["results"][0]
    assert gone["filename"] == "orchard.txt"

    async def remove_the_best() -> None:
        if len((await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]) == 2:
            await remove(tenant, project, gone["file_id"])

    async with interrupted(tenant, engine_settings, state, remove_the_best) as (caller, _):
        results = (await caller.search(project, "nine apple trees")).json()["results"]
    assert [found["file_id"] for found in results] == [upload.json()["files"][0]["id"]]


async def test_a_search_gives_up_when_files_are_removed_again_and_again(
    tenant: TenantClient, project: str, engine_settings: Settings, state: AppState
) -> None:
    for number in range(MOST_SEARCHES):
        await tenant.upload(project, (f"{number}.txt", f"{FACT} Note {number}.".encode()))

    async def remove_all_that_is_found() -> None:
        (found, *_) = (await tenant.search(project, QUERY)).json()["results"]
        await remove(tenant, project, found["file_id"])

    async with interrupted(tenant, engine_settings, state, remove_all_that_is_found) as (caller, _):
        answer = await caller.search(project, QUERY)
    assert (answer.status_code, answer.json()["code"]) == (503, "sources_changed")
    assert answer.headers["Retry-After"] == "1"
    assert len((await tenant.search(project, QUERY)).json()["results"]) == 1


async def test_unknown_and_foreign_projects_are_one_404(
    tenant: TenantClient, project: str, make_tenant: TenantFactory
) -> None:
    stranger = await make_tenant()
    answers = [await stranger.search(each, QUERY) for each in (project, str(new_id()))]
    told = [(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers]
    assert told == [(404, "project_not_found", "No project of this tenant has this id.")] * 2
    assert len((await tenant.search(project, QUERY)).json()["results"]) == 1


async def test_without_a_subscription_nothing_is_searched(
    tenant: TenantClient, project: str, database: Database
) -> None:
    await rows_of(database, tenant.id, "DELETE FROM subscriptions")
    answer = await tenant.search(project, QUERY)
    assert (answer.status_code, answer.json()["code"]) == (402, "subscription_required")


@pytest.mark.usefixtures("worker")
async def test_a_search_is_no_message_and_needs_none_to_be_left(make_tenant: TenantFactory, database: Database) -> None:
    tenant = await make_tenant(await make_plan(database, messages=1))
    project = await tenant.create_project()
    await tenant.upload(project, ("orchard.txt", FACT.encode()))
    assert len((await tenant.search(project, QUERY)).json()["results"]) == 1
    assert await counter(database, tenant.id, "messages") == (0, 0)
    assert await rows_of(database, tenant.id, "SELECT 1 FROM messages UNION ALL SELECT 1 FROM conversations") == []
    assert (await tenant.ask(project, QUERY)).status_code == 200
    assert (await tenant.ask(project, QUERY)).json()["code"] == "quota_exceeded"
    assert len((await tenant.search(project, QUERY)).json()["results"]) == 1
    assert await counter(database, tenant.id, "messages") == (1, 0)


@of_the_local_engine  # refused before any engine is asked
@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"query": ""}, "body.query"),
        ({"query": " \t\n\u3000"}, "body.query"),
        ({"query": "What\u0000?"}, "body.query"),
        ({"query": "x" * 8001}, "body.query"),
        ({"query": None}, "body.query"),
        ({"query": ["Why?"]}, "body.query"),
        ({"limit": 0}, "body.limit"),
        ({"limit": 101}, "body.limit"),
        ({"per_file": 0}, "body.per_file"),
        ({"per_file": 101}, "body.per_file"),
        ({"limit": -1}, "body.limit"),
        ({"limit": "many"}, "body.limit"),
        ({"limit": None}, "body.limit"),
        ({"project_id": "docs"}, "body.project_id"),
        ({"project_id": None}, "body.project_id"),
    ],
)
async def test_a_wrong_field_is_named(tenant: TenantClient, fields: dict[str, object], where: str) -> None:
    answer = await tenant.post("/query/search", json={"project_id": str(new_id()), "query": QUERY, **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["detail"].startswith(where)
    assert len(answer.text) < 1000, "the value is not repeated"


async def test_eight_thousand_characters_are_a_query(tenant: TenantClient, project: str) -> None:
    answer = await tenant.search(project, f" {QUERY} ".ljust(7000) + "ä" * 1000)
    assert (answer.status_code, len(answer.json()["results"])) == (200, 1)


@pytest.mark.parametrize("query", ["?!", "the of and", "🚆", "'; DROP TABLE chunks; --"])
async def test_a_query_that_says_nothing_is_none_of_our_faults(tenant: TenantClient, project: str, query: str) -> None:
    assert (await tenant.search(project, query)).status_code == 200


@of_the_local_engine
async def test_a_megabyte_is_refused_unread(tenant: TenantClient) -> None:
    answer = await tenant.search(str(new_id()), "x" * 2**20)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
