"""Filters on attributes at the provider: it is told which files match, and never why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest

from fastapi_ignite.rag.openai import file_selection
from rag.openai.hosted_tenant import HostedTenant
from rag.openai.sample_project import SHEEP, TREES, SampleProject

from openai_simulator.server import RunningSimulator

MINE = {"type": "eq", "key": "owner", "value": "Ada Lovelace"}
NOBODYS = {"type": "eq", "key": "owner", "value": "Bob"}


async def set_owner(sample: SampleProject, file_id: UUID, owner: str) -> None:
    path = f"/ingestion/projects/{sample.project}/files/{file_id}"
    assert (await sample.hosted.api.patch(path, json={"attributes": {"owner": owner}})).status_code == 200


async def provider_ids(sample: SampleProject, *files: UUID) -> list[str]:
    """Return the ids by which the provider's filters name these files."""
    statement = "SELECT p.id FROM provider_files p JOIN files f ON f.document_id = p.document_id WHERE f.id = :id"
    return [str((await sample.hosted.rows(statement, id=file_id))[0]["id"]) for file_id in files]


async def found(sample: SampleProject, filters: Mapping[str, Any]) -> list[str]:
    answer = await sample.hosted.api.search(sample.project, f"{TREES} {SHEEP}", filters=filters)
    assert answer.status_code == 200, answer.text
    return sorted(passage["text"] for passage in answer.json()["results"])


def sent(provider: RunningSimulator) -> list[Any]:
    """Return the filters of all searches and questions that the provider got."""
    bodies = [(each["route"], each["body"]) for each in provider.simulator.journal.records]
    searches = [body["filters"] for route, body in bodies if route == "vector_stores.search"]
    return searches + [body["tools"][0]["filters"] for route, body in bodies if route == "responses.create"]


def named(sample: SampleProject, *lists: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filter for the project and these lists of files."""
    return {"type": "and", "filters": [{"type": "eq", "key": "project_id", "value": sample.project}, *lists]}


def ids(kind: str, values: Sequence[str]) -> dict[str, Any]:
    return {"type": kind, "key": "ignite_file", "value": [*values]}


async def test_the_provider_learns_which_files_match_and_no_attribute(sample: SampleProject) -> None:
    trees = sample.files[0]
    await set_owner(sample, trees, "Ada Lovelace")
    assert await found(sample, MINE) == [TREES]
    answer = await sample.hosted.api.ask(sample.project, "How many apple trees does the orchard keep?", filters=MINE)
    assert [citation["file_id"] for citation in answer.json()["citations"]] == [str(trees)]
    only = named(sample, ids("in", await provider_ids(sample, trees)))
    assert sent(sample.provider) == [only, only]
    assert "Ada" not in json.dumps([*sample.provider.simulator.journal.records], default=str)


async def test_the_shorter_list_is_sent(sample: SampleProject) -> None:
    assert await found(sample, {"type": "ne", "key": "owner", "value": "Bob"}) == sorted([TREES, SHEEP])
    assert sent(sample.provider) == [{"type": "eq", "key": "project_id", "value": sample.project}]
    more = await sample.hosted.ingest(sample.project, ("bees.txt", b"The hives hold bees of the orchard in summer."))
    await set_owner(sample, more[0], "Bob")
    sample.provider.simulator.journal.clear()
    assert await found(sample, {"type": "ne", "key": "owner", "value": "Bob"}) == sorted([TREES, SHEEP])
    assert sent(sample.provider) == [named(sample, ids("nin", await provider_ids(sample, *more)))]


async def test_long_lists_are_divided(sample: SampleProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_selection, "IDS_OF_A_LIST", 1)
    texts = [f"The orchard keeps {number} pear trees in summer." for number in range(3)]
    more = await sample.hosted.ingest(sample.project, *((f"{text}.txt", text.encode()) for text in texts))
    for file_id in more:
        await set_owner(sample, file_id, "Bob")
    assert await found(sample, NOBODYS) == texts
    assert await found(sample, {"type": "ne", "key": "owner", "value": "Bob"}) == sorted([TREES, SHEEP])
    without, only = sent(sample.provider)
    two = await provider_ids(sample, *sample.files)  # in both cases the shorter list
    assert sorted(without["filters"][1:], key=str) == [ids("nin", [each]) for each in sorted(two)]
    (either,) = only["filters"][1:]
    assert either["type"] == "or"
    assert sorted(either["filters"], key=str) == [ids("in", [each]) for each in sorted(two)]


async def test_where_no_file_matches_nobody_is_asked(sample: SampleProject) -> None:
    assert await found(sample, NOBODYS) == []
    answer = await sample.hosted.api.ask(sample.project, "How many apple trees does the orchard keep?", filters=NOBODYS)
    assert (answer.status_code, answer.json()["answerable"]) == (200, False)
    assert sent(sample.provider) == []


async def test_a_removed_file_is_left_out_of_both_lists(sample: SampleProject, hosted: HostedTenant) -> None:
    trees = sample.files[0]
    removed = await provider_ids(sample, trees)
    await set_owner(sample, trees, "Bob")
    path = f"/ingestion/projects/{sample.project}/remove_file"
    await hosted.api.delete(path, params={"openai_file_id": str(trees)})
    assert await found(sample, NOBODYS) == []
    assert await found(sample, {"type": "ne", "key": "owner", "value": "Bob"}) == [SHEEP]
    assert sent(sample.provider) == [named(sample, ids("nin", removed))]
