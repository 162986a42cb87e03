"""Fills one project with synthetic chunks, and measures its search: recall of the vector index, p50, p95 and size.

    python -m bench.large_project --data FOLDER [--chunks 1000000] [--questions 200]

The servers keep their data in FOLDER (a million chunks take about 9 GB), so an interrupted run goes on where it was,
and a run with more chunks adds to what is there. `--fill-only` stops after the chunks. Delete FOLDER afterwards.

The index is built as a worker builds it. Recall is the share of the 100 nearest chunks, found by comparing all of them,
that are among those of the index. Its questions are vectors drawn as those of the chunks are. Searches go over HTTP to
an API process, one at a time, each with words that were not asked before.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt

from bench.processes import ApiProcess, make_plan, make_tenant, running
from bench.search import LIMIT, Client, make_projects
from bench.synthetic_chunks import (
    CHUNKS_OF_A_DOCUMENT,
    SyntheticDocument,
    SyntheticProject,
    add_documents,
    count_chunks,
    make_vectors,
    without_word_index,
)
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database, FixedStatement, migrations
from fastapi_ignite.infra.services import ServiceAddresses, Services
from fastapi_ignite.rag.local.search_repository import CANDIDATES
from fastapi_ignite.rag.local.vector_indexes import VectorIndexes, index_name

from embedded_services import acquire

REPORT_SECONDS = 15
ROWS_AT_ONCE = 5_000
FIND_PROJECT = "SELECT tenant_id, id FROM projects ORDER BY created_at LIMIT 1"
STORED = """
SELECT count(*), coalesce(sum(chunk_count), 0), (SELECT chunk_count FROM rag_indexes WHERE project_id = $1)
FROM documents WHERE project_id = $1
"""
NEAREST = FixedStatement(
    "SELECT chunk_id FROM search_dense(:project_id, CAST(:question AS real[])::halfvec, :row_limit)"
)
SIZES = (
    "SELECT pg_total_relation_size('chunks'), pg_relation_size(to_regclass($1)), pg_relation_size('ix_chunks_terms')"
)
Floats = npt.NDArray[np.float32]


async def find_project(
    connection: asyncpg.Connection, addresses: ServiceAddresses, api: ApiProcess
) -> tuple[UUID, UUID]:
    """Return tenant and project of an earlier run, or of new ones."""
    found = await connection.fetchrow(FIND_PROJECT)
    if found is None:
        tenant_id, _ = make_tenant(api.url, await make_plan(addresses))
        return (await make_projects(connection, [tenant_id], 1))[0]
    return found["tenant_id"], found["id"]


async def fill(connection: asyncpg.Connection, tenant_id: UUID, project_id: UUID, chunk_count: int) -> None:
    """Add the documents that are missing, without the two large indexes, which is several times faster."""
    stored, chunks, counted = await connection.fetchrow(STORED, project_id)
    if counted == chunks >= chunk_count:
        return
    began = reported = time.monotonic()
    added = 0
    await connection.execute(f"DROP INDEX IF EXISTS {index_name(project_id)}")
    async with without_word_index(connection):
        async for document in add_documents(connection, tenant_id, project_id, 0, chunk_count, begin=stored):
            added += len(document.texts)
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                total = stored * CHUNKS_OF_A_DOCUMENT + added
                print(f"  {total:,} chunks, {added / (reported - began):,.0f} a second", flush=True)
    await count_chunks(connection, tenant_id, project_id)
    for table in ("chunks", "documents", "term_stats", "files"):
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    print(f"filled in {time.monotonic() - began:.0f} s", flush=True)


async def compare_all(connection: asyncpg.Connection, project_id: UUID, questions: Floats) -> list[set[UUID]]:
    """Return the ids of the nearest chunks of each question. The vectors are read once, for all questions."""
    await connection.set_type_codec(
        "halfvec",
        encoder=bytes,
        decoder=lambda value: np.frombuffer(value, dtype=">f2", offset=4),
        format="binary",
    )
    best = np.full((len(questions), CANDIDATES), -np.inf, dtype=np.float32)
    places = np.zeros(best.shape, dtype=np.int64)
    ids: list[UUID] = []
    async with connection.transaction():
        cursor = await connection.cursor("SELECT id, embedding FROM chunks WHERE project_id = $1", project_id)
        while rows := await cursor.fetch(ROWS_AT_ONCE):
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            scores = np.concatenate([best, questions @ vectors.T], axis=1)
            numbers = np.broadcast_to(np.arange(len(ids), len(ids) + len(rows)), (len(questions), len(rows)))
            numbers = np.concatenate([places, numbers], axis=1)
            kept = np.argpartition(-scores, CANDIDATES - 1, axis=1)[:, :CANDIDATES]
            best, places = np.take_along_axis(scores, kept, axis=1), np.take_along_axis(numbers, kept, axis=1)
            ids += [row["id"] for row in rows]
    return [{ids[place] for place in row} for row in places]


async def measure_recall(
    connection: asyncpg.Connection, database: Database, tenant_id: UUID, project_id: UUID, count: int
) -> None:
    questions = make_vectors(np.random.default_rng(11), count).astype(np.float32)
    exact = await compare_all(connection, project_id, questions)
    shares, seconds = [], []
    for question, expected in zip(questions, exact, strict=True):
        values = {"project_id": project_id, "question": question.tolist(), "row_limit": CANDIDATES}
        began = time.perf_counter()
        rows = await database.read(tenant_id, NEAREST, values)
        seconds.append(time.perf_counter() - began)
        if len(rows) != CANDIDATES:
            raise SystemExit(f"the index returned {len(rows)} of {CANDIDATES} chunks")
        shares.append(len(expected & {row.chunk_id for row in rows}) / CANDIDATES)
    print(f"recall of {count} questions: mean {np.mean(shares):.4f}, lowest {min(shares):.2f}; {milliseconds(seconds)}")


def measure_search(api: ApiProcess, tenant_id: UUID, project_id: UUID, chunk_count: int, count: int) -> None:
    chance = random.Random(11)
    token = sign_token(tenant_id, load_settings(env_file=None))
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=120)
    client = Client(connection, {tenant_id: {"Authorization": f"Bearer {token}"}})
    project = SyntheticProject(tenant_id, project_id, [])
    seconds = []
    for _ in range(count + 20):
        words = SyntheticDocument.make(0, chance.randrange(chunk_count // CHUNKS_OF_A_DOCUMENT)).question.split()
        seconds.append(client.search(project, " ".join(chance.sample(words, len(words))), LIMIT))
    print(f"searches over HTTP: {milliseconds(seconds[20:])}")  # the first ones warm the process


def milliseconds(seconds: Sequence[float]) -> str:
    return f"p50 {median(seconds) * 1e3:.1f} ms, p95 {quantiles(seconds, n=20)[-1] * 1e3:.1f} ms"


async def run(addresses: ServiceAddresses, api: ApiProcess, options: argparse.Namespace) -> None:
    url = addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
    settings = {"jit": "off", "synchronous_commit": "off"}
    connection = await asyncpg.connect(url, server_settings=settings, command_timeout=3600)
    database = Database(addresses.worker_url, pool_size=2)
    tenant_id, project_id = await find_project(connection, addresses, api)
    await fill(connection, tenant_id, project_id, options.chunks)
    if not options.fill_only:
        began = time.monotonic()
        await VectorIndexes(database, addresses.owner_url, load_settings(env_file=None).vector_index).maintain()
        table, vectors, words = await connection.fetchrow(SIZES, index_name(project_id))
        print(f"index of vectors complete after {time.monotonic() - began:.0f} s")
        print(f"megabytes: vectors {vectors / 1e6:,.0f}, words {words / 1e6:,.0f}, everything {table / 1e6:,.0f}")
        await measure_recall(connection, database, tenant_id, project_id, options.questions)
        measure_search(api, tenant_id, project_id, options.chunks, options.questions)
    await database.close()
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--fill-only", action="store_true")
    options = parser.parse_args()
    options.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    with acquire(options.data / "data") as lease:
        addresses = Services(load_settings(env_file=None), lease).addresses
        migrations.upgrade(addresses)
        api = ApiProcess(options.data / "data", RATE_LIMIT_RPM="1000000000")
        with running([api]):
            api.wait_healthy()
            asyncio.run(run(addresses, api, options))


if __name__ == "__main__":
    main()
