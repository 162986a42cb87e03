"""The OpenAI engine in a bad hour, against the simulator.

    python -m bench.openai_faults [--asks 1000] [--departures 500] [--streams 100]

Two API processes and a worker; every other answer is streamed. Questions while one call in five fails in every way that
there is: what is charged is what was answered, and nobody waits past the deadline. A storm of callers who leave: the
provider is stopped, each question is charged or not and nothing stays held, and no connection is left in a transaction.
API processes killed while they make stores: each project has one store, and after the sweep the provider has no other.
Many streams at once that fall silent, on a small pool: other routes take as long as without them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx2
from pydantic import SecretStr
from sqlalchemy import text

from bench.harness import bench_servers
from bench.processes import ApiProcess, api_processes, make_plan, make_tenant, worker_process
from fastapi_ignite.core.model_sections import OpenAISettings
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.rag.openai.reconciliation import Reconciliation
from fastapi_ignite.rag.openai.service import OpenAIService
from support.http_clients import EventReader
from support.usage_records import books_of

from openai_simulator.faults import FailureRate, Fault
from openai_simulator.server import RunningSimulator, running_simulator

CLIENTS = 32
POOL = 5
RATE = 0.2
DEADLINE_SECONDS = 3
# beyond the provider's deadline: two transactions, and the machine is busy with everything on two cores
SLACK_SECONDS = 2
FACTS = [f"The {name} mill has {number} wheels." for number, name in enumerate(("north", "south", "east", "west"), 3)]
QUESTION = "How many wheels does the {} mill have?"


def fault(kind: str, **values: object) -> Fault:
    """Return the fault of a question."""
    return Fault.model_validate({"route": "responses.create", "kind": kind, **values})


FAULTS = [
    *(fault("status", status=status) for status in (400, 404, 408, 409, 422)),
    fault("status", status=429, retry_after=1),
    fault("status", status=429, code="insufficient_quota"),
    *(fault("status", status=status, when=when) for status in (500, 503) for when in ("before", "after")),
    *(fault(kind, when=when) for kind in ("reset", "timeout") for when in ("before", "after")),
    *map(fault, ("failed", "incomplete", "content_filter", "refusal")),
    *(fault(f"stream_{kind}", after_events=9) for kind in ("error_event", "error_object", "break", "stall")),
]


@dataclass
class Run:
    """Holds the caller and the provider of a run."""

    database: Database
    provider: RunningSimulator
    apis: Sequence[ApiProcess]
    plan: str

    async def tenant(self) -> Tenant:
        tenant_id, headers = await asyncio.to_thread(make_tenant, self.apis[0].url, self.plan)
        return Tenant(tenant_id, [api.url for api in self.apis], headers)


class Tenant:
    """Calls the processes in turn."""

    def __init__(self, tenant_id: UUID, urls: Sequence[str], headers: dict[str, str]) -> None:
        self.id = tenant_id
        self._urls = itertools.cycle(urls)
        limits = httpx2.Limits(max_connections=1000)
        self.http = httpx2.AsyncClient(headers=headers, timeout=60, limits=limits)
        self.project = ""

    async def begin(self) -> None:
        """A project that knows the facts."""
        made = await self.post("/ingestion/projects/create", params={"name": "bench"})
        self.project = made.raise_for_status().json()["id"]
        files = [("files", (f"{number}.txt", fact.encode())) for number, fact in enumerate(FACTS)]
        path = f"/ingestion/projects/{self.project}/upload_and_attach"
        uploaded = await self.post(path, params={"wait_seconds": 60}, files=files)
        while uploaded.status_code == httpx2.codes.SERVICE_UNAVAILABLE:  # the circuit is open after what was before
            await asyncio.sleep(int(uploaded.headers.get("Retry-After", "1")))
            uploaded = await self.post(path, params={"wait_seconds": 60}, files=files)
        assert uploaded.raise_for_status().json()["batch_status"] == "completed", uploaded.text

    async def post(self, path: str, **options: object) -> httpx2.Response:
        return await self.http.post(next(self._urls) + path, **options)  # type: ignore[arg-type]  # passed on as is

    async def ask(self, *, streamed: bool) -> str:
        """`answered`, or the code of the problem."""
        question = QUESTION.format(random.choice(("north", "south", "east", "west")))
        body = {"project_id": self.project, "question": question, "stream": streamed}
        async with self.http.stream("POST", f"{next(self._urls)}/query/ask", json=body) as answer:
            if not (streamed and answer.is_success):
                await answer.aread()
                return "answered" if answer.is_success else str(answer.json()["code"])
            events = EventReader(answer)
            while (event := await events.next())[0] not in {"done", "error"}:
                pass
            return "answered" if event[0] == "done" else str(event[1]["code"])


async def settled(database: Database, tenant: Tenant) -> tuple[int, Counter[str]]:
    """Messages used, when the books add up and nothing is held; the questions by state."""
    books = await books_of(database, tenant.id)
    assert books.add_up(), books
    assert not +books.reserved, books.reserved
    used = sum(amount for (metric, _), amount in books.used.items() if metric.value == "messages")
    async with database.tenant(tenant.id) as session:
        rows = await session.execute(text("SELECT state FROM messages WHERE role = 'user'"))
        return used, Counter(rows.scalars())


async def bad_hour(run: Run, *, asks: int) -> None:
    tenant = await run.tenant()
    await tenant.begin()
    run.provider.simulator.faults.set_rate(FailureRate(rate=RATE, faults=FAULTS))
    outcomes: Counter[str] = Counter()
    durations: list[float] = []
    left = iter(range(asks))

    async def client() -> None:
        for number in left:
            began = time.perf_counter()
            outcome = await tenant.ask(streamed=bool(number % 2))
            durations.append(time.perf_counter() - began)
            outcomes[outcome] += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    run.provider.simulator.faults.clear()
    used, states = await settled(run.database, tenant)
    print(f"bad hour: {asks} asks, {sum(run.provider.simulator.journal.faults.values())} faults of the provider")
    print(f"  outcomes: {dict(outcomes.most_common())}")
    print(f"  charged {used}, questions {dict(states)}")
    durations.sort()
    print(f"  p50 {durations[asks // 2]:.2f} s, slowest {durations[-1]:.2f} s of a deadline of {DEADLINE_SECONDS} s")
    assert used == outcomes["answered"] == states["completed"]
    assert states["failed"] == asks - used
    assert durations[-1] < DEADLINE_SECONDS + SLACK_SECONDS


async def departures(run: Run, *, number: int) -> None:
    tenant = await run.tenant()
    await tenant.begin()
    simulator = run.provider.simulator
    simulator.behaviour.delta_seconds = 0.02
    before = Counter(simulator.journal.streams)
    answered = 0

    async def leave(which: int) -> None:
        nonlocal answered
        try:
            async with asyncio.timeout(random.uniform(0.05, 2)):
                answered += await tenant.ask(streamed=bool(which % 2)) == "answered"
        except TimeoutError:
            return

    for start in range(0, number, 100):
        await asyncio.gather(*(leave(which) for which in range(min(100, number - start))))
    deadline = time.monotonic() + 30
    while simulator.journal.streams_open or simulator.journal.in_flight or await under_way(run):
        assert time.monotonic() < deadline, (simulator.journal.counters(), await under_way(run))
        await asyncio.sleep(0.2)
    simulator.behaviour.delta_seconds = 0
    used, states = await settled(run.database, tenant)
    streams = Counter(simulator.journal.streams) - before
    print(f"departures: {number} callers, {answered} of whom had their answer before they left")
    print(f"  streams at the provider: {dict(streams)}; charged {used}; questions {dict(states)}")
    assert used == states["completed"] + states["cancelled"]
    assert states["completed"] >= answered
    assert not states["pending"]
    assert streams["abandoned"] > 0
    assert await tenant.ask(streamed=True) == "answered"


async def silent_streams(run: Run, *, number: int) -> None:
    """Each begun and then open to the deadline, on pools of `POOL` connections."""
    tenant = await run.tenant()
    await tenant.begin()
    simulator = run.provider.simulator

    async def listed() -> float:
        """The slower end of 200 requests for the project's files, one after another."""
        durations = []
        for _ in range(300):
            began = time.perf_counter()
            answer = await tenant.http.get(f"{run.apis[0].url}/ingestion/projects/{tenant.project}/files")
            durations.append(time.perf_counter() - began)
            answer.raise_for_status()
        return sorted(durations)[int(len(durations) * 0.95)]

    alone = await listed()
    simulator.faults.add(fault("stream_stall", after_events=12, times=number))
    streams = [asyncio.create_task(tenant.ask(streamed=True)) for _ in range(number)]
    while simulator.journal.streams_open < number:
        await asyncio.sleep(0.05)
        assert not any(stream.done() for stream in streams)
    beside = await listed()
    were_open = simulator.journal.streams_open
    outcomes = Counter(await asyncio.gather(*streams))
    used, _ = await settled(run.database, tenant)
    print(f"silent streams: {number} at once, {were_open} of them still open after the measurement; {dict(outcomes)}")
    print(f"  p95 of the list of files: alone {alone * 1000:.1f} ms, beside them {beside * 1000:.1f} ms")
    print(f"  charged {used}; connections in use afterwards: {await under_way(run)}")
    assert used == outcomes["answered"] == 0
    assert await under_way(run) == 0


async def under_way(run: Run) -> int:
    """Questions without an end, and connections of the API that are not idle."""
    async with run.database.system() as session:
        counted = await session.scalar(
            text("""
                SELECT (SELECT count(*) FROM messages WHERE state = 'pending')
                    + (SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'ignite_api%' AND state <> 'idle')
            """)
        )
        return int(counted or 0)


async def kills(run: Run, *, number: int) -> None:
    """The first process only makes stores, and is killed at any moment of it."""
    victim = run.apis[0]
    tenant = await run.tenant()
    simulator = run.provider.simulator
    simulator.behaviour.latency_seconds = {"vector_stores.create": 0.1}
    before = simulator.state.created()["vector_stores"]
    projects: list[str] = []
    cut_off = 0
    for _ in range(number):
        batch = []
        for place in range(4):
            name = f"bench {len(projects) + place}"
            made = await tenant.http.post(f"{victim.url}/ingestion/projects/create", params={"name": name})
            batch.append(made.raise_for_status().json()["id"])
        projects += batch
        paths = [f"{victim.url}/ingestion/projects/{project}/ensure_vector_store" for project in batch]
        calls = asyncio.gather(*(tenant.http.post(path) for path in paths), return_exceptions=True)
        await asyncio.sleep(random.uniform(0.02, 0.3))
        os.kill(victim.process.pid, signal.SIGKILL)
        cut_off += sum(isinstance(answer, BaseException) for answer in await calls)
        victim.start_again()
        await asyncio.to_thread(victim.wait_healthy)
    simulator.behaviour.latency_seconds = {}
    at_kills = simulator.state.created()["vector_stores"] - before
    async with run.database.system() as session:
        await session.execute(text("UPDATE provider_stores SET lease_until = now()"))  # two minutes later
    for project in projects:
        answer = await tenant.http.post(f"{victim.url}/ingestion/projects/{project}/ensure_vector_store")
        answer.raise_for_status()
    service = OpenAIService(OpenAISettings(api_key=SecretStr("sk-bench"), base_url=run.provider.base_url))
    removed = await Reconciliation(run.database, service, grace=timedelta(0)).run()
    await service.close()
    async with run.database.system() as session:
        rows = await session.scalars(text("SELECT provider_id FROM provider_stores"))
        recorded = set(rows)
    print(
        f"kills: {number} processes over {len(projects)} stores, {cut_off} callers cut off; {at_kills} made till then"
    )
    print(f"  at the end {len(simulator.state.vector_stores)} stores, {len(recorded)} recorded, {removed} swept")
    assert cut_off, "no kill came in the middle of anything"
    assert {store.id for store in simulator.state.vector_stores} == recorded


async def play(addresses: ServiceAddresses, folder: Path, options: argparse.Namespace) -> None:
    async with running_simulator() as provider:
        variables = {
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_TIMEOUT_SECONDS": "10",
            "OPENAI_ASK_TIMEOUT_SECONDS": str(DEADLINE_SECONDS),
            "RATE_LIMIT_ANONYMOUS_RPM": "1000000",
            "POSTGRES_POOL_SIZE": str(POOL),
        }
        database = Database(addresses.worker_url, pool_size=4)
        plan = await make_plan(addresses, rpm=10**6)
        with worker_process(folder / "data", **variables):
            # in a thread: the provider answers from this loop
            context = api_processes(folder / "data", 2, **variables)
            apis = await asyncio.to_thread(context.__enter__)
            try:
                run = Run(database, provider, apis, plan)
                await bad_hour(run, asks=options.asks)
                await departures(run, number=options.departures)
                await kills(run, number=options.kills)
                await silent_streams(run, number=options.streams)  # it ends in an outage
            finally:
                await asyncio.to_thread(context.__exit__, None, None, None)
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=1000)
    parser.add_argument("--departures", type=int, default=500)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    random.seed(7)
    with bench_servers() as (addresses, folder):
        asyncio.run(play(addresses, folder, options))


if __name__ == "__main__":
    main()
