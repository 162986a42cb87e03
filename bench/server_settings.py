"""Measure PostgreSQL with the settings that fit the machine, beside the fixed ones that it had on every machine.

    python -m bench.server_settings [--chunks 20000] [--rounds 5] [--questions 20] [--megabytes 0.5] [--index]

Starts two servers with the same data, one project of synthetic chunks. Each question is searched for on both, in turn;
its vector is remembered, so that the time is that of PostgreSQL and of our code around it. In each round both also
store a document of `--megabytes`. With `--index`, both build an HNSW index at the end.

Ratios are times of the fitting settings to those of the fixed ones, so less is better.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from uuid import UUID

import asyncpg

from bench.harness import bench_servers, make_project, make_text
from bench.rounds import compare
from bench.synthetic_chunks import fill
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.engine import DocumentSource
from fastapi_ignite.rag.extraction.process import extract
from fastapi_ignite.rag.local.engine import LocalEngine

FIXED = """
shared_buffers = 128MB
effective_cache_size = 4GB
maintenance_work_mem = 64MB
autovacuum_work_mem = -1
work_mem = 4MB
max_wal_size = 1GB
min_wal_size = 80MB
random_page_cost = 4
max_parallel_workers = 8
max_parallel_workers_per_gather = 2
max_parallel_maintenance_workers = 2
"""
BUILD = "CREATE INDEX ON chunks USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops)"


@dataclass(slots=True)
class Side:
    """One server, and the seconds that each kind of work took on it in each round."""

    connection: asyncpg.Connection
    database: Database
    engine: LocalEngine
    owner: tuple[UUID, UUID]
    rounds: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    async def open(cls, addresses: ServiceAddresses) -> Side:
        url = addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
        database = Database(addresses.worker_url, application_name="bench")
        engine = LocalEngine(database, embedder="minilm")
        connection = await asyncpg.connect(url, command_timeout=600)
        return cls(connection, database, engine, await make_project(database, engine))

    async def search(self, question: str) -> float:
        began = time.perf_counter()
        found = await self.engine.search(*self.owner, question, 10)
        assert found, question
        return time.perf_counter() - began

    async def store(self, path: Path, digest: bytes) -> float:
        """Store a document, and return the seconds of its transaction."""
        source = DocumentSource(*self.owner, new_id(), digest, await extract(path, filename=path.name))
        prepared = await self.engine.prepare(source)
        began = time.perf_counter()
        async with self.database.tenant(self.owner[0]) as session:
            await prepared.write(session)
        return time.perf_counter() - began

    async def build(self) -> float:
        began = time.perf_counter()
        await self.connection.execute(BUILD)
        return time.perf_counter() - began

    async def close(self) -> None:
        await self.engine.close()
        await self.database.close()
        await self.connection.close()


async def play(sides: list[Side], folder: Path, options: argparse.Namespace) -> None:
    chance = random.Random(5)
    questions: list[str] = []
    for side in sides:  # the same seed: the same questions
        [project] = await fill(side.connection, [side.owner], chunk_count=options.chunks)
        questions = questions or chance.sample(list(project.questions), options.questions)
        for question in questions:
            await side.search(question)
    for number in range(options.rounds):
        path = folder / f"{number}.txt"
        path.write_text(make_text(chance, int(options.megabytes * 1e6)))
        digest = hashlib.sha256(path.read_bytes()).digest()
        turns = sides[:: -1 if number % 2 else 1]
        taken: dict[int, list[float]] = {id(side): [] for side in sides}
        for question in questions:
            for side in turns:
                taken[id(side)].append(await side.search(question))
        for side in turns:
            side.rounds.setdefault("search", []).append(median(taken[id(side)]))
            side.rounds.setdefault("store a document", []).append(await side.store(path, digest))
    if options.index:
        for side in sides:
            side.rounds["build an HNSW index"] = [await side.build()]


async def run(servers: list[tuple[ServiceAddresses, Path]], options: argparse.Namespace) -> None:
    sides = [await Side.open(addresses) for addresses, _ in servers]
    load = os.getloadavg()[0]
    try:
        await play(sides, servers[0][1], options)
    finally:
        for side in sides:
            await side.close()
    fitting, fixed = sides
    print(f"{options.chunks:,} chunks, {options.rounds} rounds, load average before {load:.1f}\n")
    print("| | fitting, ms | fixed, ms | ratio |\n| --- | --- | --- | --- |")
    for name, own in fitting.rounds.items():
        other = fixed.rounds[name]
        print(f"| {name} | {median(own) * 1e3:.1f} | {median(other) * 1e3:.1f} | {compare(own, other)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--megabytes", type=float, default=0.5)
    parser.add_argument("--index", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        servers = [stack.enter_context(bench_servers(postgres_settings=settings)) for settings in ("", FIXED)]
        asyncio.run(run(servers, options))


if __name__ == "__main__":
    main()
