"""Caps under load, failures and kills: never passed, and afterwards used up to the unit.

    python -m bench.quotas [--attempts 5000] [--clients 64]

A plan of 500 messages and 40,000 characters. Two API processes, whose engine fails three questions in ten, a worker
and a scheduler are killed with SIGKILL in turn and started again while the clients ask and files of 1,000 characters
are uploaded. All the time used + reserved must stay within the caps. Then holds of killed processes expire; counters,
reservations, ledger and days must tell the same; and exactly what is left can be used.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import text

from bench.harness import bench_servers
from bench.processes import ApiProcess, Program, running
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import PlanChange
from fastapi_ignite.core import clock
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database
from fastapi_ignite.query.repository import fail_abandoned
from fastapi_ignite.usage.repository import release_expired
from support.usage_records import books_of

MESSAGES, CHARACTERS = 500, 40_000
FILE_CHARACTERS = 1_000
FILES = 60
KILL_EVERY = 6
QUIET_SECONDS = 240


class Processes:
    """The parts of a stack on one data folder, each of which can be killed and comes back."""

    def __init__(self, data: Path) -> None:
        self.apis = [ApiProcess(data, factory="bench.flaky_api:create_flaky_app") for _ in range(2)]
        self.parts: dict[str, Program] = {f"api {place}": api for place, api in enumerate(self.apis)}
        self.parts |= {name: Program(data, "cli.py", name) for name in ("worker", "scheduler")}
        self.kills: Counter[str] = Counter()

    async def kill_in_turn(self) -> None:
        """One after the other, and the APIs twice as often; never both APIs at once."""
        for name in itertools.cycle(["api 0", "worker", "api 1", "api 0", "scheduler", "api 1"]):
            await asyncio.sleep(KILL_EVERY)
            self.parts[name].process.kill()
            self.kills[name.split()[0]] += 1
            self.parts[name].start_again()


class Tenant:
    """Calls whichever API answers."""

    def __init__(self, apis: Sequence[ApiProcess]) -> None:
        self._addresses = itertools.cycle([api.url for api in apis])
        self._http = httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=200))
        self.id = UUID(int=0)
        self.project = ""
        self.asked: Counter[str] = Counter()
        self._number = itertools.count()

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """Nothing when the process died with the request; one that is not there is no attempt."""
        while True:
            try:
                return await self._http.request(method, next(self._addresses) + path, **options)
            except httpx2.ConnectError:
                await asyncio.sleep(0.05)
            except httpx2.HTTPError:
                return None

    async def certainly(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Again until it is answered."""
        while True:
            answer = await self.call(method, path, **options)
            if answer is not None and answer.is_success:
                body: dict[str, Any] = answer.json()
                return body
            await asyncio.sleep(0.1)

    async def begin(self, plan_id: str) -> None:
        created = await self.certainly("POST", "/tenants/create", params={"name": "Bench", "plan_id": plan_id})
        self.id = UUID(created["tenant_id"])
        token = sign_token(self.id, load_settings(env_file=None))
        self._http.headers["Authorization"] = f"Bearer {token}"
        created = await self.certainly("POST", "/ingestion/projects/create", params={"name": "Bench"})
        self.project = created["id"]
        await self.certainly("POST", f"/ingestion/projects/{self.project}/ensure_vector_store")

    async def ask(self) -> str:
        """Return how it went: `answered`, the code of the refusal, or `cut off`."""
        question = {"project_id": self.project, "question": "What is the code of the laboratory?"}
        answer = await self.call("POST", "/query/ask", json=question)
        outcome = "cut off" if answer is None else "answered" if answer.is_success else str(answer.json()["code"])
        self.asked[outcome] += 1
        return outcome

    async def upload(self, number: int = 1) -> None:
        """New files, each of exactly `FILE_CHARACTERS` characters; not waited for."""
        files: list[tuple[str, tuple[str, bytes]]] = []
        for _ in range(number):
            content = f"File {next(self._number)} {time.time_ns()}: ".ljust(FILE_CHARACTERS - 1, "x") + "."
            files.append(("files", (f"{len(files)}.txt", content.encode())))
        path = f"/ingestion/projects/{self.project}/upload_and_attach"
        await self.call("POST", path, params={"wait_seconds": 0}, files=files)

    async def files(self) -> Counter[str]:
        """All of the project's, by status."""
        found: Counter[str] = Counter()
        after: dict[str, str] = {}
        while True:
            page = await self.certainly("GET", f"/ingestion/projects/{self.project}/files", params=after)
            found.update(file["status"] for file in page["files"])
            if not page["next_after"]:
                return found
            after = {"after": page["next_after"]}


class Watcher:
    """Looks at the counters past the API, as often as it can."""

    def __init__(self, database: Database, tenant: Tenant) -> None:
        self._database = database
        self._tenant = tenant
        self.looks = 0
        self.most: Counter[str] = Counter()

    async def watch(self) -> None:
        caps = {"messages": MESSAGES, "characters": CHARACTERS, "projects": 1}
        while True:
            async with self._database.tenant(self._tenant.id) as session:
                rows = await session.execute(text("SELECT metric, used, reserved FROM usage_counters"))
            for metric, used, reserved in rows:
                assert used + reserved <= caps[metric], (metric, used, reserved)
                self.most[metric] = max(self.most[metric], used + reserved)
            self.looks += 1
            await asyncio.sleep(0.02)


async def load(tenant: Tenant, *, attempts: int, clients: int) -> None:
    left = iter(range(attempts))

    async def client() -> None:
        for _ in left:
            await tenant.ask()

    async def uploader() -> None:
        for _ in range(FILES // 5):
            await tenant.upload(5)
            await asyncio.sleep(0.5)

    await asyncio.gather(uploader(), *(client() for _ in range(clients)))


async def come_to_rest(database: Database, tenant: Tenant) -> None:
    """Files end by themselves; the holds of killed questions expire, as if their five minutes were over."""
    deadline = time.monotonic() + QUIET_SECONDS
    while (await tenant.files())["in_progress"]:
        assert time.monotonic() < deadline, await tenant.files()
        await asyncio.sleep(0.5)
    later = clock.now() + timedelta(minutes=6)
    async with database.system() as session:
        await fail_abandoned(session, before=later)
        await release_expired(session, now=later)


async def audit(database: Database, tenant: Tenant) -> dict[str, int]:
    """Return what is used, if all four tables and the counted things agree."""
    books = await books_of(database, tenant.id)
    assert books.add_up(), books
    assert not +books.reserved, books.reserved
    async with database.tenant(tenant.id) as session:
        answers = await session.scalar(text("SELECT count(*) FROM messages WHERE role = 'assistant'"))
        characters = await session.scalar(text("SELECT sum(char_count) FROM files WHERE state = 'completed'"))
    used = {metric.value: amount for (metric, _), amount in books.used.items()}
    assert used.get("messages", 0) == answers, (used, answers)
    assert used.get("characters", 0) == (characters or 0), (used, characters)
    return used


async def use_up(database: Database, tenant: Tenant) -> None:
    """Exactly to the caps, and no further."""
    while await tenant.ask() != "quota_exceeded":
        pass
    while (await audit(database, tenant)).get("characters", 0) < CHARACTERS:
        await tenant.upload()
        await come_to_rest(database, tenant)
    await tenant.upload()
    await come_to_rest(database, tenant)
    assert await audit(database, tenant) == {"messages": MESSAGES, "characters": CHARACTERS, "projects": 1}


async def play(database: Database, processes: Processes, *, attempts: int, clients: int) -> None:
    async with database.system() as session:
        change = PlanChange(
            max_projects=1,
            monthly_message_cap=MESSAGES,
            monthly_upload_char_cap=CHARACTERS,
            rate_limit_rpm=10**9,
        )
        await PlanService(session).put("bench", change)
    tenant = Tenant(processes.apis)
    await tenant.begin("bench")
    watcher = Watcher(database, tenant)
    watching, killing = asyncio.create_task(watcher.watch()), asyncio.create_task(processes.kill_in_turn())
    started = time.monotonic()
    await load(tenant, attempts=attempts, clients=clients)
    seconds = time.monotonic() - started
    killing.cancel()
    with suppress(asyncio.CancelledError):
        await killing
    await come_to_rest(database, tenant)
    print(f"{attempts} attempts of {clients} clients in {seconds:.0f} s: {dict(tenant.asked)}")
    print(f"killed: {dict(processes.kills)}; files: {dict(await tenant.files())}")
    print(f"at rest: {await audit(database, tenant)}, nothing reserved; books equal")
    await use_up(database, tenant)
    if watching.done():
        await watching
    watching.cancel()
    print(f"used up to the caps; never more than {dict(watcher.most)} used or held, in {watcher.looks} looks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    random.seed(1)
    with bench_servers() as (addresses, folder):
        processes = Processes(folder / "data")

        async def run() -> None:
            database = Database(addresses.worker_url, pool_size=3, application_name="bench")
            try:
                await play(database, processes, attempts=options.attempts, clients=options.clients)
            finally:
                await database.close()

        with running(processes.parts.values()):
            asyncio.run(run())


if __name__ == "__main__":
    main()
