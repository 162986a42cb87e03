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
import time
from pathlib import Path
from uuid import UUID

import asyncpg

from bench.processes import ApiProcess, make_plan, make_tenant, running
from bench.search import make_projects
from bench.synthetic_chunks import CHUNKS_OF_A_DOCUMENT, add_documents, count_chunks, without_word_index
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.infra.db import migrations
from fastapi_ignite.infra.services import ServiceAddresses, Services

from embedded_services import acquire

REPORT_SECONDS = 15
FIND_PROJECT = "SELECT tenant_id, id FROM projects ORDER BY created_at LIMIT 1"


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
    """Add the documents that are missing."""
    stored = await connection.fetchval("SELECT count(*) FROM documents WHERE project_id = $1", project_id)
    if stored * CHUNKS_OF_A_DOCUMENT >= chunk_count:
        return
    began = reported = time.monotonic()
    added = 0
    async with without_word_index(connection):
        async for document in add_documents(connection, tenant_id, project_id, 0, chunk_count, begin=stored):
            added += len(document.texts)
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                print(
                    f"  {stored * CHUNKS_OF_A_DOCUMENT + added:,} chunks, {added / (reported - began):,.0f} a second",
                    flush=True,
                )
    await count_chunks(connection, tenant_id, project_id)
    for table in ("chunks", "documents", "term_stats", "files"):
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    print(f"filled in {time.monotonic() - began:.0f} s", flush=True)


async def run(addresses: ServiceAddresses, api: ApiProcess, options: argparse.Namespace) -> None:
    url = addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(
        url, server_settings={"jit": "off", "synchronous_commit": "off"}, command_timeout=3600
    )
    tenant_id, project_id = await find_project(connection, addresses, api)
    await fill(connection, tenant_id, project_id, options.chunks)
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
        api = ApiProcess(options.data / "data", LOG_LEVEL="INFO", RATE_LIMIT_RPM="1000000000")
        with running([api]):
            api.wait_healthy()
            asyncio.run(run(addresses, api, options))


if __name__ == "__main__":
    main()
