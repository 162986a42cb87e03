"""Searches and questions are answered from files with certain attributes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.query.filters import MOST_COMPARISONS, MOST_LEVELS, MOST_VALUES
from support.http_clients import TenantClient, TenantFactory
from support.interrupted_engines import interrupted

QUERY = "lamps of the lighthouse"
ATTRIBUTES: Mapping[str, Mapping[str, object]] = {
    "english.txt": {"language": "en", "year": 2020, "draft": True},
    "german.txt": {"language": "de", "year": 2024, "draft": False},
    "words.txt": {"language": "EN", "year": "2024", "draft": "true"},
    "fraction.txt": {"year": 2024.5, "draft": 1},
    "none.txt": {},
}
ALL = frozenset(ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A project whose files differ in their attributes."""

    tenant: TenantClient
    project: str
    ids: dict[str, str] = field(default_factory=dict)

    async def add(self, name: str, text: str, attributes: Mapping[str, object] | None = None) -> str:
        answer = await self.tenant.upload(self.project, (name, text.encode()), attributes=attributes)
        assert answer.json()["batch_status"] == "completed", answer.text
        file_id: str = answer.json()["files"][0]["id"]
        self.ids[name] = file_id
        return file_id

    async def set_attributes(self, name: str, attributes: Mapping[str, object] | None) -> None:
        path = f"/ingestion/projects/{self.project}/files/{self.ids[name]}"
        answer = await self.tenant.patch(path, json={"attributes": attributes})
        assert answer.status_code == 200, answer.text
        assert answer.json()["attributes"] == (attributes or {})

    async def remove(self, name: str) -> None:
        path = f"/ingestion/projects/{self.project}/remove_file"
        assert (await self.tenant.delete(path, params={"openai_file_id": self.ids[name]})).status_code == 200

    async def found(self, filters: Mapping[str, Any] | None, query: str = QUERY) -> list[str]:
        answer = await self.tenant.search(self.project, query, limit=50, filters=filters)
        assert answer.status_code == 200, answer.text
        return [passage["filename"] for passage in answer.json()["results"]]


@pytest.fixture
async def shelf(tenant: TenantClient, worker: None) -> Shelf:
    del worker
    return Shelf(tenant, await tenant.create_project())


@pytest.fixture(scope="module")
async def lighthouses(make_tenant: TenantFactory, worker: None) -> Shelf:
    """Return a project that all tests of the module share; they must not change it."""
    del worker
    tenant = await make_tenant()
    made = Shelf(tenant, await tenant.create_project())
    for number, (name, attributes) in enumerate(ATTRIBUTES.items()):
        await made.add(name, f"The keeper of lighthouse {number} lights {number + 30} lamps.", attributes or None)
    return made


def compare(kind: str, key: str, value: object) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


def every(*filters: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "and", "filters": [*filters]}


def either(*filters: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "or", "filters": [*filters]}


def nested(levels: int) -> dict[str, Any]:
    """Return a comparison at this level."""
    filters = compare("eq", "language", "en")
    for _ in range(levels - 1):
        filters = every(filters)
    return filters


def shown(value: object) -> str:
    """Name a parameter. The order of a set differs between the processes that run the tests."""
    return str(sorted(value)) if isinstance(value, set | frozenset) else str(value)


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (compare("eq", "language", "en"), {"english.txt"}),
        (compare("eq", "language", "fr"), set()),
        (compare("eq", "year", 2024), {"german.txt"}),
        (compare("eq", "year", 2024.0), {"german.txt"}),
        (compare("eq", "year", "2024"), {"words.txt"}),
        (compare("eq", "draft", True), {"english.txt"}),
        (compare("eq", "draft", 1), {"fraction.txt"}),
        (compare("eq", "draft", False), {"german.txt"}),
        (compare("eq", "unknown", "en"), set()),
        # the complement: also files without the attribute, or with another type
        (compare("ne", "language", "en"), ALL - {"english.txt"}),
        (compare("ne", "draft", True), ALL - {"english.txt"}),
        (compare("ne", "unknown", 1), ALL),
        (compare("in", "language", ["en", "de", "fr"]), {"english.txt", "german.txt"}),
        (compare("in", "year", ["2024", 2020]), {"english.txt", "words.txt"}),
        (compare("in", "draft", [True, 1]), {"english.txt", "fraction.txt"}),
        (compare("nin", "language", ["en", "de"]), ALL - {"english.txt", "german.txt"}),
        (compare("nin", "year", ["2024", 2020]), ALL - {"english.txt", "words.txt"}),
        # numbers are compared with numbers, and strings with strings by their code points
        (compare("gt", "year", 2024), {"fraction.txt"}),
        (compare("gte", "year", 2024), {"german.txt", "fraction.txt"}),
        (compare("lt", "year", 2024), {"english.txt"}),
        (compare("lte", "year", 2024.25), {"english.txt", "german.txt"}),
        (compare("gt", "year", "2023"), {"words.txt"}),
        (compare("gte", "language", "de"), {"english.txt", "german.txt"}),
        (compare("lt", "language", "de"), {"words.txt"}),
        (compare("gt", "draft", 0), {"fraction.txt"}),
        (every(compare("eq", "language", "en"), compare("lt", "year", 2021)), {"english.txt"}),
        (every(compare("eq", "language", "en"), compare("gt", "year", 2021)), set()),
        (either(compare("eq", "language", "en"), compare("gt", "year", 2024)), {"english.txt", "fraction.txt"}),
        (
            every(
                either(compare("eq", "language", "en"), compare("eq", "language", "de")),
                compare("ne", "draft", True),
            ),
            {"german.txt"},
        ),
        (nested(MOST_LEVELS), {"english.txt"}),
        (None, ALL),
    ],
    ids=shown,
)
async def test_a_search_finds_what_the_filter_lets_pass(
    lighthouses: Shelf, filters: Mapping[str, Any] | None, names: set[str]
) -> None:
    assert sorted(await lighthouses.found(filters)) == sorted(names)


@pytest.mark.parametrize(
    "text",
    [
        '" || true || "',
        "') OR true --",
        "$v0",
        '") ? (@.value != "',
        "\\u0024\\",
        '"}, "v0": "language',
        "%s :tenant_id $1",
    ],
)
async def test_keys_and_values_are_never_read_as_a_condition(shelf: Shelf, text: str) -> None:
    await shelf.add("plain.txt", "The lighthouse has nine lamps.", {"language": "en"})
    await shelf.add("odd.txt", "The lighthouse has ten lamps.", {text: text, "language": text})
    assert await shelf.found(compare("eq", "language", text)) == ["odd.txt"]
    assert await shelf.found(compare("in", text, [text])) == ["odd.txt"]
    assert await shelf.found(compare("ne", text, text)) == ["plain.txt"]
    assert await shelf.found(compare("eq", text, "en")) == []


@pytest.mark.parametrize(
    ("filters", "place"),
    [
        ({"type": "like", "key": "year", "value": 1}, ""),
        ({"key": "year", "value": 1}, ""),
        (compare("eq", "", 1), "key"),
        (compare("eq", "k" * 65, 1), "key"),
        (compare("eq", "year", "v" * 513), "value"),
        (compare("eq", "year", None), "value"),
        (compare("eq", "year", [1]), "value"),
        (compare("eq", "year", {"$gt": 1}), "value"),
        (compare("gt", "draft", True), "value"),
        (compare("in", "year", 1), "value"),
        (compare("in", "year", []), "value"),
        (compare("in", "year", [1] * (MOST_VALUES + 1)), "value"),
        ({**compare("eq", "year", 1), "boost": 2}, "boost"),
        (every(), "filters"),
        (nested(MOST_LEVELS + 1), ""),
        (nested(200), ""),
        (every(*[compare("eq", "year", 1)] * MOST_COMPARISONS, compare("eq", "year", 1)), "filters"),
        (either(*[every(*[compare("eq", "year", 1)] * 20)] * 3), ""),
        (either(*[compare("in", "year", [*range(MOST_VALUES)])] * 6), ""),
    ],
)
async def test_a_wrong_filter_is_refused(lighthouses: Shelf, filters: Mapping[str, Any], place: str) -> None:
    for answer in (
        await lighthouses.tenant.search(lighthouses.project, QUERY, filters=filters),
        await lighthouses.tenant.ask(lighthouses.project, QUERY, filters=filters),
    ):
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "validation_error"
        assert any(place in error["loc"] or not place for error in answer.json()["errors"])
        assert all(error["loc"][:2] == ["body", "filters"] for error in answer.json()["errors"])


@pytest.mark.parametrize("levels", [300, 7_000])
async def test_a_filter_that_is_nested_without_end_is_refused(lighthouses: Shelf, levels: int) -> None:
    body = f'{{"project_id": "{lighthouses.project}", "query": "lamps", "filters": '
    body += '{"type": "and", "filters": [' * levels + '{"type": "eq", "key": "a", "value": 1}' + "]}" * levels + "}"
    headers = {"Content-Type": "application/json"}
    answer = await lighthouses.tenant.post("/query/search", content=body.encode(), headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["code"] in {"malformed_body", "validation_error"}


async def test_an_answer_cites_matching_files_only(lighthouses: Shelf) -> None:
    question = "How many lamps does the keeper light?"
    for name, filters in {
        "german.txt": compare("eq", "language", "de"),
        "fraction.txt": compare("gt", "year", 2024),
    }.items():
        body = (await lighthouses.tenant.ask(lighthouses.project, question, filters=filters)).json()
        assert body["answerable"]
        assert {citation["filename"] for citation in body["citations"]} == {name}


async def test_a_streamed_answer_shows_matching_files_only(lighthouses: Shelf) -> None:
    filters = compare("eq", "language", "de")
    question = "How many lamps does the keeper light?"
    async with lighthouses.tenant.stream(lighthouses.project, question, filters=filters) as reader:
        events = await reader.until("done")
    shown = [place for kind, data in events if kind == "sources" for place in data["sources"]]
    cited = [data for kind, data in events if kind == "citation"]
    assert events[-1][1]["answerable"]
    assert {place["filename"] for place in [*shown, *cited]} == {"german.txt"}


async def test_a_filter_that_no_file_matches_is_like_a_project_without_files(
    lighthouses: Shelf, make_tenant: TenantFactory
) -> None:
    other = await make_tenant()
    question = "How many lamps does the keeper light?"
    nothing = (await other.ask(await other.create_project(), question)).json()
    answer = await lighthouses.tenant.ask(lighthouses.project, question, filters=compare("eq", "language", "fr"))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    compared = ("answer", "answerable", "citations")
    assert [body[name] for name in compared] == [nothing[name] for name in compared]
    assert not body["answerable"]


async def test_a_question_of_a_conversation_has_its_own_filter(lighthouses: Shelf) -> None:
    question = {"project_id": lighthouses.project, "question": "How many lamps does the keeper light?"}
    german, english = compare("eq", "language", "de"), compare("eq", "language", "en")
    first = (await lighthouses.tenant.post("/query/ask", json={**question, "filters": german})).json()
    conversation = {"conversation_id": first["conversation_id"]}
    second = (await lighthouses.tenant.post("/query/ask", json={**question, **conversation, "filters": english})).json()
    assert [_cited(first), _cited(second)] == [{"german.txt"}, {"english.txt"}]


async def test_the_filter_is_part_of_what_a_key_stands_for(lighthouses: Shelf) -> None:
    headers = {"Idempotency-Key": "filtered", "Prefer": "idempotency=replay"}
    question = "How many lamps does the keeper light?"

    async def ask(language: str) -> Any:
        filters = compare("eq", "language", language)
        return await lighthouses.tenant.ask(lighthouses.project, question, filters=filters, headers=headers)

    first, again, other = await ask("de"), await ask("de"), await ask("en")
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 422, other.text


class TestChanges:
    async def test_new_attributes_count_from_the_answer_on(self, shelf: Shelf) -> None:
        await shelf.add("lamps.txt", "The lighthouse has nine lamps.", {"language": "en", "year": 2020})
        assert await shelf.found(compare("eq", "language", "en")) == ["lamps.txt"]
        await shelf.set_attributes("lamps.txt", {"language": "de"})
        assert await shelf.found(compare("eq", "language", "en")) == []
        assert await shelf.found(compare("eq", "language", "de")) == ["lamps.txt"]
        assert await shelf.found(compare("eq", "year", 2020)) == []  # the object replaces all
        await shelf.set_attributes("lamps.txt", None)
        assert await shelf.found(compare("eq", "language", "de")) == []
        assert await shelf.found(compare("ne", "language", "de")) == ["lamps.txt"]

    async def test_true_is_not_one(self, shelf: Shelf) -> None:
        await shelf.add("lamps.txt", "The lighthouse has nine lamps.", {"checked": 1})
        await shelf.set_attributes("lamps.txt", {"checked": True})
        assert await shelf.found(compare("eq", "checked", True)) == ["lamps.txt"]
        assert await shelf.found(compare("eq", "checked", 1)) == []


class TestEqualBytes:
    TEXT = "The lighthouse has nine lamps."

    async def test_each_file_has_its_own_attributes(self, shelf: Shelf) -> None:
        await shelf.add("mine.txt", self.TEXT, {"owner": "ada"})
        await shelf.add("yours.txt", self.TEXT, {"owner": "bob"})
        await shelf.add("other.txt", "Another lighthouse has two lamps.", {"owner": "eve"})
        assert await shelf.found(compare("eq", "owner", "ada")) == ["mine.txt"]
        assert await shelf.found(compare("eq", "owner", "bob")) == ["yours.txt"]
        assert await shelf.found(compare("nin", "owner", ["ada", "eve"])) == ["yours.txt"]
        assert await shelf.found(compare("in", "owner", ["ada", "bob"])) == ["mine.txt"]
        body = (await shelf.tenant.ask(shelf.project, "How many lamps?", filters=compare("eq", "owner", "bob"))).json()
        assert _cited(body) == {"yours.txt"}

    async def test_a_removed_file_does_not_count_any_more(self, shelf: Shelf) -> None:
        await shelf.add("mine.txt", self.TEXT, {"owner": "ada"})
        await shelf.add("yours.txt", self.TEXT, {"owner": "bob"})
        await shelf.remove("yours.txt")
        assert await shelf.found(compare("eq", "owner", "bob")) == []
        assert await shelf.found(compare("eq", "owner", "ada")) == ["mine.txt"]
        assert await shelf.found(None) == ["mine.txt"]


async def test_files_of_other_projects_and_tenants_do_not_count(shelf: Shelf, make_tenant: TenantFactory) -> None:
    await shelf.add("mine.txt", "The lighthouse has nine lamps.", {"owner": "ada"})
    sibling = Shelf(shelf.tenant, await shelf.tenant.create_project("Other"))
    stranger_tenant = await make_tenant()
    stranger = Shelf(stranger_tenant, await stranger_tenant.create_project())
    for each in (sibling, stranger):
        await each.add("theirs.txt", "The lighthouse has nine lamps.", {"owner": "bob"})
    assert await shelf.found(compare("eq", "owner", "bob")) == []
    assert await stranger.found(compare("eq", "owner", "ada")) == []
    assert await stranger.found(compare("eq", "owner", "bob")) == ["theirs.txt"]


def _cited(body: Mapping[str, Any]) -> set[str]:
    citations: Sequence[Mapping[str, Any]] = body["citations"]
    return {citation["filename"] for citation in citations}


class TestChangesMeanwhile:
    """Attributes that change between a search at the engine and the answer to the caller."""

    QUESTION = "How many lamps does the keeper light?"

    async def test_a_passage_that_does_not_match_any_more_is_left_out(
        self, shelf: Shelf, engine_settings: Settings, state: AppState
    ) -> None:
        for name in ("one.txt", "two.txt"):
            await shelf.add(name, f"The keeper of lighthouse {name} lights 30 lamps.", {"owner": "ada"})

        async def give_away() -> None:
            await shelf.set_attributes("one.txt", {"owner": "bob"})

        async with interrupted(shelf.tenant, engine_settings, state, give_away) as (caller, _):
            answer = await caller.search(shelf.project, QUERY, filters=compare("eq", "owner", "ada"))
        assert [passage["filename"] for passage in answer.json()["results"]] == ["two.txt"]

    async def test_an_answer_is_made_again(self, shelf: Shelf, engine_settings: Settings, state: AppState) -> None:
        await shelf.add("one.txt", "The keeper of the first lighthouse lights 30 lamps.", {"owner": "ada"})
        await shelf.add("two.txt", "The keeper of the second lighthouse lights 31 lamps.", {"owner": "bob"})
        mine = compare("eq", "owner", "ada")

        async def swap() -> None:
            await shelf.set_attributes("one.txt", {"owner": "bob"})
            await shelf.set_attributes("two.txt", {"owner": "ada"})

        async with interrupted(shelf.tenant, engine_settings, state, swap) as (caller, engine):
            answer = await caller.ask(shelf.project, self.QUESTION, filters=mine)
        assert answer.status_code == 200, answer.text
        assert _cited(answer.json()) == {"two.txt"}
        assert engine.answers == 2
