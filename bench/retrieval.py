"""Retrieval and refusal of the local engine on collections in BEIR layout.

    python -m bench.retrieval --data DIR [--set xquad …] [--embedder minilm|none|http] [--queries 200]

Each folder of DIR holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`), `qrels.tsv`, and
for the figures on refusals `answers.jsonl` (`query_id`, `answers[].text`) with document ids `<article>-<paragraph>`.
`http` is the server of EMBEDDING_BASE_URL and EMBEDDING_MODEL.
Everything goes through `LocalEngine` on an embedded PostgreSQL of its own, as a tenant under row-level security.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, quantiles
from uuid import UUID

from bench.harness import bench_servers, make_project
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.model_sections import EmbeddingSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import DocumentSource, Final, TokenUsage
from fastapi_ignite.rag.extraction import ExtractedText
from fastapi_ignite.rag.local.embedders import Embedders
from fastapi_ignite.rag.local.engine import LocalEngine
from fastapi_ignite.rag.local.fusion import Candidate, fuse
from fastapi_ignite.rag.local.retrieval import Retriever

DEPTH = 10


@dataclass
class Collection:
    """Ids are the collection's own."""

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    answers: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Indexed:
    """A project with its documents in it."""

    tenant_id: UUID
    project_id: UUID
    names: dict[UUID, str]


class Bench:
    """One engine on one database."""

    def __init__(self, database: Database, embedder: str) -> None:
        self.database = database
        self.embedder = embedder
        self.server = EmbeddingSettings()
        self.engine = LocalEngine(database, embedder, self.server)

    async def index(self, documents: dict[str, str]) -> Indexed:
        """A tenant and project of their own; returns when every chunk is embedded."""
        tenant_id, project_id = await make_project(self.database, self.engine)
        started = time.perf_counter()
        indexed = Indexed(tenant_id, project_id, {})
        for name, body in documents.items():
            indexed.names[await self._add(tenant_id, project_id, name, body)] = name
        seconds = time.perf_counter() - started
        print(f"  indexed {len(documents)} documents, {sum(map(len, documents.values())) / 1e6 / seconds:.2f} MB/s")
        started = time.perf_counter()
        while await self.engine.backfill_embeddings():
            pass
        print(f"  embedded in {time.perf_counter() - started:.0f} s")
        return indexed

    async def _add(self, tenant_id: UUID, project_id: UUID, name: str, body: str) -> UUID:
        digest = hashlib.sha256(name.encode() + body.encode()).digest()
        source = DocumentSource(tenant_id, project_id, new_id(), digest, ExtractedText(body, None, "text/plain"))
        prepared = await self.engine.prepare(source)
        async with self.database.tenant(tenant_id) as session:
            await prepared.write(session)
        return source.document_id

    async def rank(self, collection: Collection, indexed: Indexed) -> None:
        """Quality of each leg and of both, and the time both take."""
        retriever = Retriever(self.database, Embedders(self.embedder, self.server))
        legs: dict[str, Callable[[list[Candidate]], Iterable[Candidate]]] = {
            "words": lambda found: sorted(found, key=lambda candidate: -candidate.bm25),
            "dense": lambda found: sorted(
                (candidate for candidate in found if candidate.cosine is not None),
                key=lambda candidate: -(candidate.cosine or 0),
            ),
            "fused": lambda found: (ranked.candidate for ranked in fuse(found)),
        }
        if self.embedder == "none":
            del legs["dense"], legs["fused"]
        figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
        seconds = []
        for query_id, query in collection.queries.items():
            if not collection.relevant[query_id]:
                continue
            started = time.perf_counter()
            found = await retriever.candidates(indexed.tenant_id, indexed.project_id, query)
            seconds.append(time.perf_counter() - started)
            for leg, order in legs.items():
                names = dict.fromkeys(indexed.names[candidate.document_id] for candidate in order(found))
                figures[leg].append(_figures(list(names), collection.relevant[query_id]))
        for leg, values in figures.items():
            ndcg, recall = (fmean(column) for column in zip(*values, strict=True))
            print(f"  {leg:6} nDCG@{DEPTH} {ndcg:.4f}  recall@{DEPTH} {recall:.4f}  ({len(values)} queries)")
        print(f"  search {_percentiles(seconds)}")

    async def refuse(self, collection: Collection, *, unit: str) -> None:
        """Every question asked of one half of the documents: it is answerable in its own half only.

        `unit` says what is halved: whole articles, or paragraphs, whose neighbours speak of the same things.
        """
        groups = {name: name.split("-")[0] if unit == "article" else name for name in collection.documents}
        order = sorted(set(groups.values()), key=lambda group: hashlib.sha256(group.encode()).digest())
        kept = set(order[: len(order) // 2])
        half = {name: body for name, body in collection.documents.items() if groups[name] in kept}
        indexed = await self.index(half)
        tally: dict[str, int] = defaultdict(int)
        seconds = []
        for query_id, query in collection.queries.items():
            present = collection.relevant[query_id] <= half.keys()
            started = time.perf_counter()
            asking = self.engine.ask(indexed.tenant_id, indexed.project_id, query, TokenUsage())
            (answer,) = [event.answer async for event in asking if isinstance(event, Final)]
            seconds.append(time.perf_counter() - started)
            kind = "present" if present else "absent"
            tally[kind] += 1
            tally[f"{kind} refused"] += not answer.answerable
            if present and answer.answerable:
                tally["gold"] += any(span in answer.text for span in collection.answers[query_id])
                tally["quotes"] += len(answer.citations)
                tally["right"] += sum(
                    indexed.names[citation.document_id] in collection.relevant[query_id]
                    for citation in answer.citations
                )
        answered = max(tally["present"] - tally["present refused"], 1)
        print(
            f"  {unit} left out: refused {tally['absent refused'] / max(tally['absent'], 1):.3f} of {tally['absent']} "
            f"unanswerable, {tally['present refused'] / max(tally['present'], 1):.3f} of {tally['present']} answerable;"
            f" gold span in {tally['gold'] / answered:.3f} of answers, {tally['quotes'] / answered:.2f} quotes each,"
            f" {tally['right'] / max(tally['quotes'], 1):.3f} of them from the right document"
        )
        print(f"  ask {_percentiles(seconds)}")


def _figures(ranking: list[str], relevant: set[str]) -> tuple[float, float]:
    """NDCG and recall with binary judgements."""
    top = ranking[:DEPTH]
    gain = sum(1 / math.log2(place + 2) for place, name in enumerate(top) if name in relevant)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(DEPTH, len(relevant))))
    return gain / ideal, len(relevant.intersection(top)) / len(relevant)


def _percentiles(seconds: list[float]) -> str:
    cuts = quantiles(seconds, n=20)
    return f"p50 {cuts[9] * 1000:.0f} ms, p95 {cuts[18] * 1000:.0f} ms"


def read(folder: Path, limit: int) -> Collection:
    """A collection with at most `limit` queries, spread evenly."""

    def lines(name: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    corpus = {line["_id"]: f"{line.get('title', '')}\n{line['text']}".strip() for line in lines("corpus.jsonl")}
    queries = [(line["_id"], line["text"]) for line in lines("queries.jsonl")]
    step = max(1, len(queries) // limit)
    collection = Collection(folder.name, {name: body for name, body in corpus.items() if body}, dict(queries[::step]))
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query_id, document, grade = line.split("\t")
        if int(grade) > 0 and document in collection.documents:
            collection.relevant[query_id].add(document)
    if (folder / "answers.jsonl").exists():
        for entry in map(json.loads, (folder / "answers.jsonl").read_text().splitlines()):
            collection.answers[entry["query_id"]] = [answer["text"] for answer in entry["answers"]]
    return collection


async def measure(database: Database, options: argparse.Namespace) -> None:
    """All collections asked for, one after the other."""
    bench = Bench(database, options.embedder)
    folders = sorted(path.parent for path in options.data.glob("*/corpus.jsonl"))
    for folder in folders:
        if options.set and folder.name not in options.set:
            continue
        collection = read(folder, options.queries)
        print(f"{collection.name}, embedder {options.embedder}")
        await bench.rank(collection, await bench.index(collection.documents))
        if collection.answers:
            await bench.refuse(collection, unit="article")
            await bench.refuse(collection, unit="paragraph")
    await database.close()


def main() -> None:
    """Start a database, migrate it, measure, and leave nothing behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], help="names of folders; all when not given")
    parser.add_argument("--embedder", choices=["minilm", "none", "http"], default="minilm")
    parser.add_argument("--queries", type=int, default=10_000, help="at most so many of each collection")
    options = parser.parse_args()
    with bench_servers(durable=False) as (addresses, _):
        asyncio.run(measure(Database(addresses.worker_url, application_name="bench"), options))


if __name__ == "__main__":
    main()
