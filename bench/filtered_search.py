"""How long a search with a filter on attributes takes, beside the same search without, over HTTP and in one run.

    python -m bench.filtered_search [--files 2000] [--chunks 10] [--rounds 5] [--questions 40] [--index]

Fills one project with synthetic files of so many chunks, each with three attributes, and asks every question with each
filter in turn; the order differs from turn to turn. One request is under way at a time. With `--index` the project gets
its vector index first.

`one of a hundred` and `half` compare one attribute of a file, and let pass that share of the files. `costly` is a
filter of 50 lists of 10 values. Ratios are those of the medians of a round to the one without a filter; less is better.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median, quantiles
from typing import Any, Final
from uuid import UUID

import asyncpg

from bench.harness import bench_servers
from bench.processes import ApiProcess, make_plan, make_tenant, pin, running
from bench.rounds import compare
from bench.search import LIMIT, Client, make_projects
from bench.synthetic_chunks import TABLES, SyntheticProject, add_documents, count_chunks, without_word_index
from fastapi_ignite.core.model_sections import VectorIndexSettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.query.filters import MOST_COMPARISONS, MOST_VALUES_TOGETHER
from fastapi_ignite.rag.local.vector_indexes import VectorIndexes

BUCKETS: Final = 100
VALUES: Final = MOST_VALUES_TOGETHER // MOST_COMPARISONS
COSTLY: Final = [
    {"type": "nin", "key": "bucket", "value": [BUCKETS + number for number in range(VALUES)]}
] * MOST_COMPARISONS
FILTERS: Final[Mapping[str, Mapping[str, Any] | None]] = {
    "none": None,
    "one of a hundred": {"type": "eq", "key": "bucket", "value": 7},
    "half": {"type": "lt", "key": "bucket", "value": BUCKETS // 2},
    "all but one of a hundred": {"type": "ne", "key": "bucket", "value": 7},
    "costly": {"type": "and", "filters": COSTLY},
}
_ATTRIBUTES = """
UPDATE files SET attributes = jsonb_build_object(
    'bucket', numbered.number % $1, 'author', 'author ' || numbered.number, 'draft', numbered.number % 2 = 0
) FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM files) AS numbered WHERE files.id = numbered.id
"""


async def fill(connection: asyncpg.Connection, owner: tuple[UUID, UUID], options: argparse.Namespace) -> Sequence[str]:
    """Store the files, and return a question in the words of each of some hundred."""
    size = options.files * options.chunks
    async with without_word_index(connection):
        added = add_documents(connection, *owner, 0, size, chunks_of_a_document=options.chunks)
        questions = [document.question async for document in added]
    await count_chunks(connection, *owner)
    await connection.execute(_ATTRIBUTES, BUCKETS)
    for table in TABLES:
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    return questions[:: max(len(questions) // 200, 1)]


def measure(
    client: Client, project: SyntheticProject, options: argparse.Namespace
) -> Mapping[str, Sequence[Sequence[float]]]:
    """Return the seconds of each search, by filter and round."""
    chance = random.Random(11)
    rounds: dict[str, list[list[float]]] = {}
    for number in range(options.rounds + 1):
        taken: dict[str, list[float]] = {name: [] for name in FILTERS}
        for _ in range(options.questions):
            words = chance.choice(project.questions).split()
            question = " ".join(chance.sample(words, len(words)))
            client.search(project, question, LIMIT)  # whoever is asked first would pay for the embedding
            for name in chance.sample(list(FILTERS), len(FILTERS)):
                taken[name].append(client.search(project, question, LIMIT, FILTERS[name]))
        for name, seconds in taken.items() if number else ():  # the first round warms everything
            rounds.setdefault(name, []).append(seconds)
    return rounds


async def run(addresses: ServiceAddresses, api: ApiProcess, options: argparse.Namespace) -> None:
    tenant_id, headers = make_tenant(api.url, await make_plan(addresses))
    client = Client(http.client.HTTPConnection("127.0.0.1", api.port, timeout=120), {tenant_id: headers})
    url = addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url, server_settings={"jit": "off"}, command_timeout=600)
    (owner,) = await make_projects(connection, [tenant_id], 1)
    project = SyntheticProject(*owner, await fill(connection, owner, options))
    if options.index:
        database = Database(addresses.worker_url)
        await VectorIndexes(
            database, addresses.owner_url, VectorIndexSettings.model_construct(memory_mb=256)
        ).maintain()
        await database.close()
    client.connection.close()  # the API has, because nothing came for so long; the next request opens it again
    rounds = measure(client, project, options)
    print(f"{options.files:,} files of {options.chunks} passages, load average {os.getloadavg()[0]:.1f}\n")
    print("| filter | p50, ms | p95, ms | to no filter |")
    print("| --- | --- | --- | --- |")
    for name, by_round in rounds.items():
        seconds = [each for taken in by_round for each in taken]
        ratio = compare(list(map(median, by_round)), list(map(median, rounds["none"])))
        print(f"| {name} | {median(seconds) * 1e3:.1f} | {quantiles(seconds, n=20)[-1] * 1e3:.1f} | {ratio} |")
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--chunks", type=int, default=10, help="passages of a file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--index", action="store_true", help="build the vector index of the project")
    options = parser.parse_args()
    core, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(others) or {core})
    with ExitStack() as stack:
        addresses, folder = stack.enter_context(bench_servers())
        api = ApiProcess(folder / "data", LOG_LEVEL="INFO", RATE_LIMIT_RPM="1000000000")
        stack.enter_context(running([api]))
        api.wait_healthy()
        pin(api.process.pid, {core})
        asyncio.run(run(addresses, api, options))


if __name__ == "__main__":
    main()
