"""Measures how fast text becomes searchable, and what isolation and embeddings cost.

    python -m bench.ingestion [--megabytes 4] [--questions 40]

Everything goes through the same code as a worker's: extraction in its child process, chunking, the lexical index, the
transaction that completes the file; on an embedded PostgreSQL of its own, durable as in production.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import statistics
import time
from pathlib import Path

from sqlalchemy import URL, text

from bench.harness import bench_servers, make_project, make_text
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.engine import DocumentSource, TokenUsage
from fastapi_ignite.rag.extraction.process import extract
from fastapi_ignite.rag.local.engine import LocalEngine

EMBEDDED_BATCHES = 6


async def measure(database: Database, folder: Path, options: argparse.Namespace) -> None:
    random_source = random.Random(7)
    engine = LocalEngine(database, embedder="minilm")
    tenant_id, project_id = await make_project(database, engine)
    path = folder / "document.txt"
    path.write_text(make_text(random_source, options.megabytes * 1_000_000))

    started = time.perf_counter()
    extracted = await extract(path, filename=path.name)
    extraction = time.perf_counter() - started
    source = DocumentSource(tenant_id, project_id, new_id(), hashlib.sha256(b"document").digest(), extracted)
    started = time.perf_counter()
    prepared = await engine.prepare(source)
    preparation = time.perf_counter() - started
    started = time.perf_counter()
    async with database.tenant(tenant_id) as session:
        await prepared.write(session)
    writing = time.perf_counter() - started
    megabytes = len(extracted.text) / 1e6
    print(
        f"{megabytes:.1f} MB of text, {prepared.chunk_count} chunks: searchable in "
        f"{extraction + preparation + writing:.1f} s, {megabytes / (extraction + preparation + writing):.2f} MB/s"
    )
    print(f"  extraction {extraction:.2f} s, chunks and terms {preparation:.2f} s, writing {writing:.2f} s")

    started = time.perf_counter()
    for _ in range(EMBEDDED_BATCHES):
        await engine.backfill_embeddings()
    seconds = time.perf_counter() - started
    async with database.tenant(tenant_id) as session:
        embedded = await session.scalar(text("SELECT count(*) FROM chunks WHERE embedding IS NOT NULL"))
    print(f"embeddings: {embedded / seconds:.1f} chunks/s in one process")

    questions = [" ".join(random_source.sample(extracted.text.split(), 6)) for _ in range(options.questions)]
    durations = []
    for question in questions:
        started = time.perf_counter()
        async for _ in engine.ask(tenant_id, project_id, question, TokenUsage()):
            pass
        durations.append(time.perf_counter() - started)
    print(f"answers: p50 {statistics.median(durations) * 1000:.0f} ms, slowest {max(durations) * 1000:.0f} ms")


async def run(url: URL, folder: Path, options: argparse.Namespace) -> None:
    database = Database(url, application_name="bench")
    try:
        await measure(database, folder, options)
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=4)
    parser.add_argument("--questions", type=int, default=40)
    options = parser.parse_args()
    with bench_servers() as (addresses, folder):
        asyncio.run(run(addresses.worker_url, folder, options))


if __name__ == "__main__":
    main()
