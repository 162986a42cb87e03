"""How long `POST /query/search` takes, beside its bare SQL and the embedding of its question, in one run.

    python -m bench.search [--chunks 1000 20000 200000] [--projects 200] [--rounds 5] [--questions 40]

Fills a database with synthetic chunks, for each number of chunks anew, evenly over the projects, which belong to a
fifth as many tenants. Every question is asked to our API, again to our API, and to `bench/reference/search.py`; whoever
is first alternates. One request is under way at a time. The API and the reference's model have one core, and everything
else runs on the others.
`--projects 1` measures how a search grows with its project.

Ratios are those of the medians of a round, with the least and the most of a round, and less is better.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import asyncpg

from bench.harness import bench_servers
from bench.processes import ApiProcess, make_plan, make_tenant, pin, running
from bench.reference.search import BareSearch
from bench.rounds import compare
from bench.synthetic_chunks import SyntheticProject, fill
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.local.minilm import MiniLmEmbedder, load_minilm

PROJECTS_OF_A_TENANT = 5
LIMIT = 10
OURS, AGAIN, SQL, EMBEDDING = "ours", "asked again", "bare SQL", "embedding"
BARE = "bare SQL + embedding"
GOAL = 1.5


@dataclass(slots=True)
class Client:
    """Asks our API over one connection. `headers` has the token of each tenant."""

    connection: http.client.HTTPConnection
    headers: Mapping[UUID, Mapping[str, str]]

    def search(
        self, project: SyntheticProject, question: str, expected: int, filters: Mapping[str, Any] | None = None
    ) -> float:
        """Return the seconds until the answer was read.

        Raises:
            SystemExit: the answer is an error, or has another number of passages.
        """
        body = json.dumps({"project_id": str(project.id), "query": question, "limit": LIMIT, "filters": filters})
        headers = {"Content-Type": "application/json", **self.headers[project.tenant_id]}
        began = time.perf_counter()
        self.connection.request("POST", "/api/v1/query/search", body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - began
        if response.status != http.HTTPStatus.OK or len(json.loads(answer)["results"]) != expected:
            raise SystemExit(f"expected {expected} passages, but the answer is {response.status} {answer[:500]!r}")
        return seconds


@dataclass(slots=True)
class Timings:
    """The seconds of each way, by round."""

    rounds: dict[str, list[list[float]]] = field(default_factory=dict)

    def begin_round(self) -> None:
        for way in (OURS, AGAIN, SQL, EMBEDDING, BARE):
            self.rounds.setdefault(way, []).append([])

    def add(self, way: str, seconds: float) -> None:
        self.rounds[way][-1].append(seconds)

    def row(self, label: str) -> str:
        """Return a row of the table that `main` prints."""
        figures = []
        for way in (OURS, AGAIN, SQL, EMBEDDING):
            seconds = [each for taken in self.rounds[way] for each in taken]
            figures.append(f"{median(seconds) * 1e3:.1f}, {quantiles(seconds, n=20)[-1] * 1e3:.1f}")
        first, again = (
            compare(list(map(median, self.rounds[own])), list(map(median, self.rounds[other])))
            for own, other in ((OURS, BARE), (AGAIN, SQL))
        )
        return f"| {label} | {' | '.join(figures)} | {first} | {again} |"


async def embedder_on(core: int) -> MiniLmEmbedder:
    """Return the model, whose thread runs on this core, so that both sides embed with the same caches."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    embedder = load_minilm()
    await embedder.embed_query("a thread inherits the core")
    os.sched_setaffinity(0, own)
    return embedder


async def make_projects(connection: asyncpg.Connection, tenants: Sequence[UUID], count: int) -> list[tuple[UUID, UUID]]:
    """Insert so many projects, and return tenant and project of each."""
    made = [(tenants[number % len(tenants)], new_id()) for number in range(count)]
    await connection.executemany(
        "INSERT INTO projects (tenant_id, id, name, engine, vector_store_id) VALUES ($1, $2, $3, 'local', $3)",
        [(tenant_id, project_id, f"vs_{project_id.hex}") for tenant_id, project_id in made],
    )
    return made


async def measure(
    client: Client, bare: BareSearch, projects: Sequence[SyntheticProject], chunk_count: int, *, rounds: int, count: int
) -> Timings:
    chance = random.Random(11)
    size = chunk_count // len(projects)
    timings = Timings()

    async def take_turn(*, ours_first: bool) -> None:
        project = chance.choice(projects)
        words = chance.choice(project.questions).split()
        question = " ".join(chance.sample(words, len(words)))  # not asked before
        for ours in (ours_first, not ours_first):
            if ours:
                timings.add(OURS, client.search(project, question, min(size, LIMIT)))
                continue
            taken = await bare.search(project.tenant_id, project.id, question, chunk_count=size, limit=LIMIT)
            timings.add(SQL, taken.sql)
            timings.add(EMBEDDING, taken.embedding)
            timings.add(BARE, taken.both)
        timings.add(AGAIN, client.search(project, question, min(size, LIMIT)))

    for number in range(rounds + 1):
        timings.begin_round()
        for turn in range(count):
            await take_turn(ours_first=bool(turn % 2))
        if number == 0:
            timings = Timings()  # the first round warms everything
    return timings


async def run(addresses: ServiceAddresses, api: ApiProcess, options: argparse.Namespace) -> None:
    plan = await make_plan(addresses)
    tenants = [make_tenant(api.url, plan) for _ in range(max(options.projects // PROJECTS_OF_A_TENANT, 1))]
    client = Client(http.client.HTTPConnection("127.0.0.1", api.port, timeout=120), dict(tenants))
    url = addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url, server_settings={"jit": "off"}, command_timeout=600)
    owners = await make_projects(connection, [tenant_id for tenant_id, _ in tenants], options.projects)
    bare = BareSearch(connection, await embedder_on(options.api_core))
    print(f"{options.projects} projects, load average before {os.getloadavg()[0]:.1f}; milliseconds are p50, p95\n")
    print("| chunks | ours | ours, asked again | bare SQL | embedding | ours to SQL + embedding | again to SQL |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for chunk_count in options.chunks:
        projects = await fill(connection, owners, chunk_count=chunk_count)
        client.connection.close()  # the API has, because nothing came for so long; the next request opens it again
        timings = await measure(client, bare, projects, chunk_count, rounds=options.rounds, count=options.questions)
        print(timings.row(f"{chunk_count:,}"), flush=True)
    print(f"\ngoal: ours at most {GOAL} of SQL + embedding")
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000, 20_000, 200_000])
    parser.add_argument("--projects", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=40)
    options = parser.parse_args()
    options.api_core, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(others) or {options.api_core})
    with ExitStack() as stack:
        addresses, folder = stack.enter_context(bench_servers())
        api = ApiProcess(folder / "data", LOG_LEVEL="INFO", RATE_LIMIT_RPM="1000000000")
        stack.enter_context(running([api]))
        api.wait_healthy()
        pin(api.process.pid, {options.api_core})
        asyncio.run(run(addresses, api, options))


if __name__ == "__main__":
    main()
