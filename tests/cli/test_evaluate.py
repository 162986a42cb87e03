"""`cli.py eval` on a running stack: what it measures, what it uploads and embeds again, and what it refuses."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fastapi_ignite.core.ids import new_id
from infra.embedded_instances import wait_until
from support.command_line import Finished, open_folder
from support.embedding_server import EmbeddingServer, running_embedding_server
from support.running_stack import RunningStack

pytestmark = pytest.mark.slow

FACTS = {
    "orchard": "The orchard of Almere keeps nine apple trees behind the barn.",
    "ferry": "The ferry to Texel leaves at noon from the northern quay.",
    "violin": "The violin was repaired by a luthier in Cremona last winter.",
    "owl": "The owl of the belfry sleeps until the church bell rings.",
}
QUERIES = {"q1": "apple trees behind the barn", "q2": "when does the ferry leave", "q3": "who repaired the violin"}
RELEVANT = {"q1": "orchard", "q2": "ferry", "q3": "violin"}


def write_corpus(folder: Path, texts: Mapping[str, str]) -> None:
    lines = [{"_id": name, "title": f"Notes on the {name}", "text": text} for name, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)))


def read_corpus(folder: Path) -> dict[str, str]:
    lines = map(json.loads, (folder / "corpus.jsonl").read_text().splitlines())
    return {line["_id"]: line["text"] for line in lines}


def words_of(text: str) -> list[float]:
    """Return a vector in which texts with the same words are near to each other."""
    counts = [0.01] * 64
    for word in re.findall(r"\w+", text.lower()):
        counts[hashlib.sha256(word.encode()).digest()[0] % 64] += 1.0
    return counts


@dataclass
class Evaluations:
    """A running stack whose passages are embedded by a server that keeps what it was asked for."""

    stack: RunningStack
    embedding: EmbeddingServer

    async def run(self, *arguments: str) -> Finished:
        return await asyncio.to_thread(self.stack.commands.run, "eval", *arguments)

    async def measure(self, *arguments: str) -> dict[str, Any]:
        """Return the result of an evaluation that must succeed."""
        result: dict[str, Any] = json.loads((await self.run(*arguments, "--json")).succeeded())
        return result

    def passages(self) -> list[str]:
        """Return the passages that were embedded, and forget them."""
        texts = [text for text in self.embedding.texts if any(fact in text for fact in FACTS.values())]
        self.embedding.requests.clear()
        return texts

    @asynccontextmanager
    async def client(self, tenant: str) -> AsyncIterator[httpx2.AsyncClient]:
        """Open a client that acts for the tenant."""
        token = (await asyncio.to_thread(self.stack.commands.run, "token", tenant)).succeeded().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, base_url=self.stack.api, timeout=60) as client:
            yield client

    async def projects(self, tenant: str) -> list[dict[str, Any]]:
        async with self.client(tenant) as client:
            found: list[dict[str, Any]] = (await client.get("/ingestion/projects")).json()["projects"]
        return found


@pytest.fixture(scope="module")
async def evaluations() -> AsyncIterator[Evaluations]:
    async with running_embedding_server() as server:
        server.embed = words_of
        with open_folder() as folder:
            stack = RunningStack(folder, EMBEDDING_BASE_URL=f"{server.url}/v1", EMBEDDING_MODEL=server.model)
            try:
                await asyncio.to_thread(stack.wait_until_healthy)
                yield Evaluations(stack, server)
            finally:
                await asyncio.to_thread(stack.end)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Return a folder in BEIR layout, with texts that no other test has embedded."""
    folder = tmp_path / "notes"
    folder.mkdir()
    write_corpus(folder, {name: f"{text} Noted as {new_id()}." for name, text in FACTS.items()})
    queries = [{"_id": name, "text": text} for name, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (folder / "qrels.tsv").write_text("\n".join(f"{query}\t{document}\t1" for query, document in RELEVANT.items()))
    return folder


async def test_a_collection_is_measured_and_embedded_once(
    evaluations: Evaluations, collection: Path, tmp_path: Path
) -> None:
    """A second run uploads the documents anew, and takes the vectors of the first. A changed document costs its own."""
    evaluations.embedding.requests.clear()
    first = await evaluations.measure(str(collection), "--output", str(tmp_path / "first.json"))
    assert first["about"]["documents"] == len(FACTS)
    assert first["about"]["engine"] == "local"
    assert {name: figures["value"] for name, figures in first["measures"].items()} == {
        "nDCG@10": 1.0,
        "recall@10": 1.0,
        "recall@100": 1.0,
        "MRR": 1.0,
    }
    assert first["questions"]["q1"]["ranking"][0] == "orchard"
    assert set(first["latency_ms"]) == {"search"}, "nothing is known of answers, so none was asked for"
    assert len(evaluations.passages()) == len(FACTS)

    again = await evaluations.measure(str(collection), "--output", str(tmp_path / "second.json"))
    assert evaluations.passages() == []
    assert again["about"]["project_id"] != first["about"]["project_id"]

    texts = read_corpus(collection)
    write_corpus(collection, texts | {"owl": f"{texts['owl']} It is so."})
    third = await evaluations.measure(str(collection))
    (passage,) = evaluations.passages()
    assert "owl" in passage
    kept = await evaluations.measure(str(collection), "--reuse")
    assert kept["about"]["project_id"] == third["about"]["project_id"]

    compared = await evaluations.run("--compare", str(tmp_path / "first.json"), str(tmp_path / "second.json"))
    assert "nDCG@10" in compared.succeeded()


async def test_answers_are_judged_and_feedback_is_replayed(evaluations: Evaluations, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    (folder / "documents").mkdir(parents=True)
    for name, text in FACTS.items():
        (folder / "documents" / f"{name}.txt").write_text(text)
    questions = [
        {
            "id": "who",
            "question": "Who repaired the violin?",
            "answer": "luthier",
            "file": "violin.txt",
            "quote": "luthier",
        },
        {"id": "when", "question": "When does the ferry leave?", "answer": "at noon", "file": "ferry.txt"},
        {"id": "none", "question": "How much does a ticket to Vienna cost?", "answer": ""},
    ]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    result = await evaluations.measure(str(folder))
    figures = {name: found["value"] for name, found in result["measures"].items()}
    for name in ("answer contains", "cited span", "cited document right", "citation verbatim", "refusal recall"):
        assert figures[name] == 1.0, name
    assert (figures["refusal precision"], figures["answerable refused"]) == (1.0, 0.0)
    assert result["questions"]["none"]["refused"] is True
    assert set(result["latency_ms"]) == {"search", "ask"}

    rated = {"who": ("Who repaired the violin?", "up"), "none": ("How much does a ticket to Vienna cost?", "up")}
    rated["when"] = ("When does the ferry leave?", "down")
    tenant, project = result["about"]["tenant_id"], result["about"]["project_id"]
    async with evaluations.client(tenant) as client:
        for question, rating in rated.values():
            asked = await client.post("/query/ask", json={"project_id": project, "question": question})
            path = f"/query/messages/{asked.json()['message_id']}/feedback"
            assert (await client.post(path, json={"rating": rating})).status_code == 200
        conversations = (await client.get("/query/conversations", params={"project_id": project})).json()
        replayed = await evaluations.measure("--feedback", "--project", project, "--tenant", tenant)
        after = (await client.get("/query/conversations", params={"project_id": project})).json()
    figures = {name: (found["value"], found["count"]) for name, found in replayed["measures"].items()}
    assert (figures["cited span"], figures["refusal recall"], figures["rejected repeated"]) == ((1.0, 1),) * 3
    assert after == conversations, "the conversations of the replay are deleted"


async def test_an_interrupted_upload_goes_on_in_its_project(evaluations: Evaluations, collection: Path) -> None:
    """The first run is killed while it waits for an embedding server that is away."""
    tenant = (await evaluations.measure(str(collection)))["about"]["tenant_id"]
    write_corpus(collection, {"orchard": f"Only apple trees behind the barn, {new_id()}."})
    evaluations.embedding.requests.clear()
    evaluations.embedding.status = 503
    process = evaluations.stack.commands.start("eval", str(collection))
    try:
        await asyncio.to_thread(
            wait_until,
            lambda: any("Only apple" in text for text in evaluations.embedding.texts),
            "a vector is asked for",
        )
        (begun,) = [project for project in await evaluations.projects(tenant) if "(filling)" in project["name"]]
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)
        evaluations.embedding.status = 200
    result = await evaluations.measure(str(collection))
    assert result["about"]["project_id"] == begun["id"]
    kept = [project["id"] for project in await evaluations.projects(tenant) if project["name"].startswith("notes ")]
    assert kept == [begun["id"]], "one is kept of each data set"


async def test_a_tenant_of_other_commands_is_not_filled(evaluations: Evaluations, collection: Path) -> None:
    """After the demo its variables are exported. Documents of an evaluation are not for that tenant."""
    own = (await evaluations.measure(str(collection)))["about"]["tenant_id"]
    variables = {"TENANT_ID": str(new_id()), "TOKEN": "of-the-demo", "IGNITE_API_KEY": "of-somebody"}
    run = partial(evaluations.stack.commands.run, "eval", str(collection), "--reuse", "--json", **variables)
    again = json.loads((await asyncio.to_thread(run)).succeeded())
    assert again["about"]["tenant_id"] == own


async def test_nobody_else_can_have_the_plan_of_evaluations(evaluations: Evaluations, collection: Path) -> None:
    await evaluations.measure(str(collection))
    async with httpx2.AsyncClient(base_url=evaluations.stack.api) as client:
        plans = [plan["id"] for plan in (await client.get("/plans")).json()["plans"]]
        refused = await client.post("/tenants/create", params={"name": "x", "plan_id": "evaluation"})
    assert "evaluation" not in plans
    assert refused.json()["code"] == "plan_not_found"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give a folder to evaluate, or --feedback with --project, or --compare A B."),
        (["--feedback"], "Give a folder to evaluate, or --feedback with --project, or --compare A B."),
        (["FOLDER", "--feedback", "--project", "x"], "Give a folder to evaluate"),
        (["FOLDER"], "it must have corpus.jsonl (BEIR), or questions.jsonl or questions.csv beside documents/."),
        (["--compare", "FOLDER/a", "FOLDER/b"], "No such file or directory"),
        (["FOLDER", "--project", "x"], "There is no credential"),
    ],
)
async def test_what_cannot_be_evaluated_is_refused(
    evaluations: Evaluations, tmp_path: Path, arguments: list[str], message: str
) -> None:
    finished = await evaluations.run(*(argument.replace("FOLDER", str(tmp_path)) for argument in arguments))
    assert message in finished.refused_with()
