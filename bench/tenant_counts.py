"""Measure what a request costs in a database of one tenant, and in one of 10,000, in one run.

    python -m bench.tenant_counts [--tenants 10000] [--rounds 5] [--seconds 3] [--connections 4] [--only NAME]

Starts two installations. In each one, the product makes a tenant with a key, a project, files and answered questions.
All rows of this tenant are then copied for the other tenants, with new ids and with the postings of their projects.
Each kind of request is sent once for every tenant, because the first one of a tenant looks up what is remembered then.
In every round it is sent to one installation and to the other for some seconds: always for the same tenant, and for all
tenants in turn. Both API processes share one core, and everything else runs on the others.

Ratios are those of many tenants to one, with the least and the most of a round, and less is better. Processor time is
that of the API process; the time of a request is what a caller waits. Below the table stand the large tables that
requests read as a whole: each of them lacks an index, or has one that the planner did not take.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, cycle, islice
from statistics import median
from typing import NamedTuple
from uuid import UUID

import asyncpg
import httpx2

from bench.harness import bench_servers, make_text
from bench.load_generator import send_in_turn
from bench.processes import ApiProcess, cpu_seconds, make_plan, make_tenant, pin, running, worker_process
from bench.request_rates import OUR_SETTINGS, split_cores
from bench.rounds import compare
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.local.lexical import posting_id
from fastapi_ignite.rag.text.analysis import analyze

GOAL = 1.1
LARGE_TABLE = 1_000
TEXT = make_text(random.Random(1), 3_000)
FILES = {"notes.txt": TEXT.encode(), "list.md": f"# Parts\n\n{TEXT[:500]}".encode()}
QUESTION_WORDS = 8
LIMITS, CACHED, UNCACHED, LIST, SEARCH = "limits/current", "cached item", "uncached item", "list of files", "search"
# What the answer of each kind must contain.
MARKERS = {
    LIMITS: b'"subscribed":true',
    CACHED: b'"name":"Notebook"',
    UNCACHED: b'"name":"Notebook"',
    LIST: b'"filename":"',
    SEARCH: b'"results":[{',
}
COPIED = """
CREATE FUNCTION pg_temp.copied(id uuid, number integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN CAST(md5(CAST(id AS text) || ':' || CAST(number AS text)) AS uuid)
"""
TENANT_COLUMNS = """
SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, NULL) AS type
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attgenerated = ''
    AND (c.relname IN ('tenants', 'items') OR EXISTS (
        SELECT FROM pg_attribute AS t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id'
    ))
ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """An API, tenant and project of each tenant, their tokens, and the items."""

    addresses: ServiceAddresses
    api: ApiProcess
    projects: Sequence[tuple[UUID, UUID]]
    tokens: Mapping[UUID, str]
    items: Sequence[UUID]

    def messages(self, kind: str) -> Iterator[bytes]:
        """Yield requests of this kind, for every tenant or item in turn, without end."""
        chance = random.Random(3)
        unique = time.time_ns()
        projects = chance.sample(self.projects, len(self.projects))
        for number, (tenant_id, project_id), item in zip(count(), cycle(projects), cycle(self.items), strict=False):
            token = self.tokens[tenant_id]
            match kind:
                case "limits/current":
                    yield _message("/limits/current", token)
                case "cached item":
                    yield _message(f"/items/{item}")
                case "uncached item":
                    yield _message(f"/items/{item}?n={unique}-{number}")
                case "list of files":
                    yield _message(f"/ingestion/projects/{project_id}/files", token)
                case _:
                    question = " ".join(chance.sample(TEXT.split(), QUESTION_WORDS))  # not asked before
                    body = json.dumps({"project_id": str(project_id), "query": question, "limit": 5}).encode()
                    yield _message("/query/search", token, body)


def _message(path: str, token: str = "", body: bytes | None = None) -> bytes:
    lines = [f"{'GET' if body is None else 'POST'} /api/v1{path} HTTP/1.1", "Host: 127.0.0.1"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class Measurement(NamedTuple):
    """Milliseconds of a request: what a caller waits, and processor time of the API."""

    wait: float
    cpu: float


def accepts(kind: str) -> Callable[[bytes], bool]:
    marker = MARKERS[kind]
    return lambda answer: marker in answer


def measure(installation: Installation, kind: str, seconds: float, connections: int) -> Measurement:
    worked = cpu_seconds(installation.api.process.pid)
    load = send_in_turn(
        installation.api.port,
        installation.messages(kind),
        accepts(kind),
        seconds,
        connections=connections,
    )
    if not load.answers:
        raise SystemExit(f"{kind}: no answer in {seconds} s, the machine is too busy")
    cpu = cpu_seconds(installation.api.process.pid) - worked
    return Measurement(load.seconds * connections * 1e3 / load.answers, cpu * 1e3 / load.answers)


def make_first_tenant(addresses: ServiceAddresses, api: ApiProcess) -> None:
    """Let the product make a tenant that has done what tenants do, and an item."""
    tenant_id, headers = make_tenant(api.url, asyncio.run(make_plan(addresses)))
    with httpx2.Client(base_url=api.url, headers=headers, timeout=120) as client:
        client.post("/api-keys", json={"name": "bench", "role": "member"}).raise_for_status()
        made = client.post(
            "/ingestion/projects/create", params={"tenant_id": str(tenant_id), "name": "Docs"}
        ).raise_for_status()
        project_id = made.json()["id"]
        for name, content in FILES.items():
            files = {"files": (name, content)}
            path = f"/ingestion/projects/{project_id}/upload_and_attach"
            client.post(path, params={"wait_seconds": 60}, files=files).raise_for_status()
        body = {"project_id": project_id, "question": TEXT.partition(".")[0]}
        client.post("/query/ask", json=body).raise_for_status()
        item = {"name": "Notebook", "description": "Plain pages " * 8}
        client.post("/items/", json=item).raise_for_status()


async def copy_tenant(connection: asyncpg.Connection, copies: int) -> None:
    """Copy every row of the only tenant so many times, and its item. Every id becomes another one, alike everywhere."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in await connection.fetch(TENANT_COLUMNS):
        columns.setdefault(table, []).append((column, kind))
    await connection.execute(COPIED)
    await copy_postings(connection, copies)
    index = await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_chunks_terms'")
    await connection.execute("DROP INDEX ix_chunks_terms")
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # no triggers, no foreign keys
        for table, named in columns.items():
            names = ", ".join(column for column, _ in named)
            values = ", ".join(_copied(table, column, kind) for column, kind in named)
            rows = f"FROM {table} CROSS JOIN generate_series(1, {copies}) AS copies(number)"
            await connection.execute(f"INSERT INTO {table} ({names}) SELECT {values} {rows}")
    await connection.execute(index)


async def copy_postings(connection: asyncpg.Connection, copies: int) -> None:
    """Make the table `postings`: what each posting of the project becomes in each copy."""
    project_id = await connection.fetchval("SELECT id FROM projects")
    texts = await connection.fetch("SELECT text FROM chunks")
    old = {posting_id(project_id, term): term for row in texts for term in analyze(row["text"])}
    query = (
        "SELECT array_agg(number), array_agg(pg_temp.copied($1, number)) FROM generate_series(1, $2::integer) AS number"
    )
    numbers, projects = await connection.fetchrow(query, project_id, copies)
    await connection.execute("CREATE TEMP TABLE postings (number integer, old integer, new integer)")
    await connection.copy_records_to_table(
        "postings",
        records=(
            (number, posting, posting_id(copied, term))
            for number, copied in zip(numbers or (), projects or (), strict=True)
            for posting, term in old.items()
        ),
    )
    await connection.execute("CREATE INDEX ON postings (number, old) INCLUDE (new); ANALYZE postings")


# The columns of a copied row that are neither copied as they are nor ids.
CHANGED = {
    "projects.vector_store_id": "'vs_' || replace(CAST(pg_temp.copied(id, number) AS text), '-', '')",
    "rag_indexes.vector_store_id": "'vs_' || replace(CAST(pg_temp.copied(project_id, number) AS text), '-', '')",
    "files.storage_key": "storage_key || '-' || number",
    "api_keys.digest": "sha256(digest || CAST(CAST(number AS text) AS bytea))",
    "chunks.terms": """(
        SELECT array_agg(p.new ORDER BY p.new) FROM postings AS p JOIN unnest(terms) AS term ON p.old = term
        WHERE p.number = copies.number
    )""",
    "term_stats.term": "(SELECT p.new FROM postings AS p WHERE p.number = copies.number AND p.old = term)",
}


def _copied(table: str, column: str, kind: str) -> str:
    """Return the expression for a column of a copied row."""
    if kind == "uuid":
        return f"pg_temp.copied({column}, number)"
    return CHANGED.get(f"{table}.{column}", column)


async def fill_database(addresses: ServiceAddresses, copies: int) -> tuple[list[tuple[UUID, UUID]], list[UUID]]:
    """Copy the first tenant. Return tenant and project of all tenants, and the ids of all items."""
    url = addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url, command_timeout=600)
    if copies:
        await copy_tenant(connection, copies)
    projects = [(row["tenant_id"], row["id"]) for row in await connection.fetch("SELECT tenant_id, id FROM projects")]
    items = [row["id"] for row in await connection.fetch("SELECT id FROM items")]
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("SELECT pg_stat_reset()")
    await connection.close()
    return projects, items


async def tables_read_whole(addresses: ServiceAddresses) -> str:
    """Return the large tables that were scanned sequentially since they were filled, and how often."""
    connection = await asyncpg.connect(
        addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
    )
    rows = await connection.fetch(
        "SELECT s.relname, s.seq_scan FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid "
        "WHERE s.seq_scan > 0 AND c.reltuples >= $1 ORDER BY s.seq_scan DESC",
        LARGE_TABLE,
    )
    await connection.close()
    return ", ".join(f"{name} ({scans:,})" for name, scans in rows) or "none"


def install(stack: ExitStack, tenants: int, cores: set[int]) -> Installation:
    addresses, folder = stack.enter_context(bench_servers())
    api = ApiProcess(folder / "data", LOG_LEVEL="INFO", **OUR_SETTINGS)
    stack.enter_context(running([api]))
    api.wait_healthy()
    with worker_process(folder / "data"):
        make_first_tenant(addresses, api)
    began = time.perf_counter()
    projects, items = asyncio.run(fill_database(addresses, tenants - 1))
    print(f"{len(projects):,} tenants, made in {time.perf_counter() - began:.0f} s", flush=True)
    pin(api.process.pid, cores)
    settings = load_settings(env_file=None)
    tokens = {tenant_id: sign_token(tenant_id, settings) for tenant_id, _ in projects}
    return Installation(addresses, api, projects, tokens, items)


def play(
    many: Installation, one: Installation, options: argparse.Namespace
) -> dict[str, tuple[list[Measurement], list[Measurement]]]:
    """Send each kind of request for every tenant or item once, and measure it in turn."""
    found: dict[str, tuple[list[Measurement], list[Measurement]]] = {kind: ([], []) for kind in options.only}
    for kind, sides in found.items():
        for each in (many, one):
            warming = islice(each.messages(kind), max(len(each.projects), options.connections * 20))
            send_in_turn(each.api.port, warming, accepts(kind), 600, connections=options.connections)
        for number in range(options.rounds):
            turns = [(many, sides[0]), (one, sides[1])]
            for installation, measured in turns[:: -1 if number % 2 else 1]:
                measured.append(measure(installation, kind, options.seconds, options.connections))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=list(MARKERS), default=list(MARKERS))
    options = parser.parse_args()
    cores, other_cores = split_cores()
    os.sched_setaffinity(0, other_cores)  # what we start inherits it
    with ExitStack() as stack:
        many, one = (install(stack, tenants, cores) for tenants in (options.tenants, 1))
        load = os.getloadavg()[0]
        found = play(many, one, options)
        whole = asyncio.run(tables_read_whole(many.addresses))
    print(f"{options.rounds} rounds of {options.seconds} s, {options.connections} connections, ", end="")
    print(f"load average before {load:.1f}; milliseconds of {options.tenants:,} tenants, and of one\n")
    print("| request | waited | ratio | CPU of the API | ratio |\n| --- | --- | --- | --- | --- |")
    for kind, (own, other) in found.items():
        waits, cpus = zip(*own, strict=True), zip(*other, strict=True)
        (wait, cpu), (other_wait, other_cpu) = waits, cpus
        print(
            f"| {kind} | {median(wait):.2f}, {median(other_wait):.2f} | {compare(wait, other_wait)} "
            f"| {median(cpu):.2f}, {median(other_cpu):.2f} | {compare(cpu, other_cpu)} |"
        )
    print(f"\ngoal: at most {GOAL}; large tables read as a whole: {whole}")


if __name__ == "__main__":
    main()
