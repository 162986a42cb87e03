"""Show what becomes of uploads when answers to COMMIT are lost, processes are killed, and caps are reached.

    python -m bench.uploads [lost] [killed] [caps] [cost]

Each part has its own migrated servers, and calls the whole application without a socket (ASGI). The killed process is a
real one.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import text

from bench import ROOT
from bench.harness import bench_servers
from fastapi_ignite.core.config import Settings, load_settings
from fastapi_ignite.core.logging import configure_logging
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.infra.services import ServiceAddresses, Services
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.ingestion.repository import FileRepo
from fastapi_ignite.main import open_state
from fastapi_ignite.rag.engines import build_engines
from fastapi_ignite.tasks import PERIODIC_JOBS
from support.commit_proxy import CommitProxy, Loss
from support.http_clients import client_for

from embedded_services import acquire

MEGABYTE = 10**6
KILLS = 3
FILES_A_KILL = 12
DIE = (sys.executable, "-m", "bench.uploads", "die")
STATES = text("SELECT id, state, last_error->>'code' AS code FROM files WHERE project_id = :project")


@dataclass(frozen=True, slots=True)
class Caller:
    """A tenant of an application, with the client, the database and the folder that it uses."""

    http: httpx2.AsyncClient
    tenant_id: UUID
    project: str
    database: Database
    state: AppState
    folder: Path

    async def upload(self, files: list[tuple[str, bytes]], **headers: str) -> httpx2.Response:
        return await self.http.post(
            f"/ingestion/projects/{self.project}/upload_and_attach",
            params={"wait_seconds": 0},
            headers=headers,
            files=[("files", file) for file in files],
        )

    async def scalar(self, statement: str) -> Any:
        async with self.database.tenant(self.tenant_id) as session:
            return await session.scalar(text(statement))

    def objects(self) -> list[Path]:
        """Return the paths of the tenant's stored objects."""
        return [path for path in (self.folder / "storage/objects" / str(self.tenant_id)).rglob("*") if path.is_file()]


def settings_in(folder: Path, **upload: int) -> Settings:
    """Return settings that store uploads in this folder and have no limits but these."""
    defaults = load_settings(env_file=None)
    return defaults.model_copy(
        update={
            "ignite": defaults.ignite.model_copy(update={"data_dir": folder}),
            "rate_limit": defaults.rate_limit.model_copy(update={"rpm": 10**9}),
            "upload": defaults.upload.model_copy(update=upload),
        }
    )


@asynccontextmanager
async def caller(addresses: ServiceAddresses, folder: Path, **upload: int) -> AsyncGenerator[Caller]:
    """Start an application, and make a tenant with a project."""
    settings = settings_in(folder, **upload)
    database = Database(addresses.worker_url, pool_size=3)
    async with open_state(settings, addresses) as state, client_for(settings, state) as client:
        created = (await client.post("/tenants/create", params={"name": "Bench", "plan_id": "pro"})).json()
        tenant_id = UUID(created["tenant_id"])
        client.headers["Authorization"] = f"Bearer {sign_token(tenant_id, settings)}"
        project = (await client.post("/ingestion/projects/create", params={"name": "Bench"})).json()["id"]
        yield Caller(client, tenant_id, project, database, state, folder)
    await database.close()


def told(answer: httpx2.Response) -> str:
    return f"{answer.status_code} {answer.json().get('code', '')}".strip()


async def work_off(who: Caller) -> None:
    """Process all files as workers do, until no file is unfinished."""
    engines = build_engines(who.database, who.state["settings"])
    worker = FileProcessor(database=who.database, storage=who.state["storage"], engines=engines, jobs=who.state["jobs"])
    for _ in range(7):
        async with who.database.tenant(who.tenant_id) as session:
            await session.execute(text("UPDATE files SET lease_until = NULL"))
            rows = (await session.execute(STATES, {"project": who.project})).all()
        for row in rows:
            if row.state not in {"completed", "failed"}:
                await worker.process(who.tenant_id, row.id)


async def lost(addresses: ServiceAddresses, folder: Path) -> None:
    """Lose the answer to each COMMIT of an upload once, and then repeat the request with the same key."""
    async with (
        CommitProxy(addresses.api_url) as proxy,
        caller(replace(addresses, api_url=proxy.url()), folder) as who,
    ):
        ends: Counter[str] = Counter()
        for loss in (Loss.ANSWER, Loss.ANSWER_AND_SERVER):
            number = 0
            while True:
                name = f"{loss.name.lower()} {number}.txt"
                request = [(name, f"The orchard of {name} keeps nine apple trees.".encode())]
                proxy.lose(loss, after=number)
                first = await who.upload(request, **{"Idempotency-Key": f"{loss.name}-{number}"})
                proxy.restore()
                again = await who.upload(
                    request, **{"Idempotency-Key": f"{loss.name}-{number}", "Prefer": "idempotency=replay"}
                )
                if not proxy.lost:
                    break
                ends[f"{loss.name:18} first {told(first):30} again {told(again)}"] += 1
                number += 1
        for end, count in sorted(ends.items()):
            print(f"{count:3} times: {end}")
        await work_off(who)
        async with who.database.tenant(who.tenant_id) as session:
            rows = (await session.execute(STATES, {"project": who.project})).all()
        print("files:", dict(Counter(f"{row.state} {row.code or ''}".strip() for row in rows)))


async def die(data: Path, folder: Path, tenant_id: str, project: str) -> None:
    """Upload files in this process, which is killed after they are stored and before the COMMIT."""

    async def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    FileRepo.add_all = killed  # type: ignore[method-assign, assignment]  # the process is killed at this call
    settings = settings_in(folder)
    with acquire(data, durable=False) as lease:
        async with (
            open_state(settings, Services(settings, lease).addresses) as state,
            client_for(settings, state) as http,
        ):
            http.headers["Authorization"] = f"Bearer {sign_token(UUID(tenant_id), settings)}"
            await http.post(
                f"/ingestion/projects/{project}/upload_and_attach",
                files=[("files", (f"{number}.txt", b"x" * MEGABYTE)) for number in range(FILES_A_KILL)],
            )


async def killed(addresses: ServiceAddresses, folder: Path) -> None:
    """Count the stored objects without a row, before and after every periodic job has run twice."""
    async with caller(addresses, folder) as who:
        await who.upload([("kept.txt", b"The orchard keeps nine apple trees.")])
        for _ in range(KILLS):
            await asyncio.to_thread(
                subprocess.run,
                [
                    sys.executable,
                    "-m",
                    "bench.uploads",
                    "die",
                    str(folder / "data"),
                    str(folder),
                    str(who.tenant_id),
                    who.project,
                ],
                check=False,
                cwd=ROOT,
                stderr=subprocess.DEVNULL,
            )
        counted = await who.scalar("SELECT count(*) FROM files")
        print(f"after {KILLS} kills: {len(who.objects())} objects for {counted} rows")
        then = time.time() - timedelta(days=2).total_seconds()
        for path in who.objects():
            os.utime(path, (then, then))
        if await who.scalar("SELECT to_regclass('uploads')"):
            async with who.database.tenant(who.tenant_id) as session:
                await session.execute(text("UPDATE uploads SET lease_until = now()"))
        context = TaskContext(
            settings=who.state["settings"],
            database=who.database,
            storage=LocalStorage(folder / "storage"),
            jobs=who.state["jobs"],
        )
        for _ in range(2):
            for job in PERIODIC_JOBS:
                await job.run(context)
        counted = await who.scalar("SELECT count(*) FROM files")
        print(f"two days later: {len(who.objects())} objects for {counted} rows")


async def caps(addresses: ServiceAddresses, folder: Path) -> None:
    """Upload many files at the same time at each cap."""
    async with caller(addresses, folder, max_stored_bytes=MEGABYTE) as who:
        answers = await asyncio.gather(
            *(who.upload([(f"{number}.txt", b"%03d" % number + b"x" * (MEGABYTE - 3))]) for number in range(45))
        )
        stored = sum(path.stat().st_size for path in who.objects())
        print(f"cap 1 MB, 45 uploads of 1 MB at a time: {stored / MEGABYTE:.0f} MB stored,", tally(answers))
    async with caller(addresses, folder, max_queued_files=50) as who:
        answers = await asyncio.gather(
            *(who.upload([(f"{batch}-{number}.txt", b"text") for number in range(20)]) for batch in range(20))
        )
        queued = await who.scalar("SELECT count(*) FROM files WHERE state = 'queued'")
        print(f"cap 50 queued files, 20 uploads of 20 at a time: {queued} queued,", tally(answers))
        if await who.scalar("SELECT to_regclass('storage_usage')"):
            held = await who.scalar("SELECT reserved_bytes + reserved_files FROM storage_usage")
            print(f"held afterwards: {held}")


def tally(answers: list[httpx2.Response]) -> dict[str, int]:
    return dict(Counter(map(told, answers)))


async def cost(addresses: ServiceAddresses, folder: Path) -> None:
    """Measure the time of an upload, of a writing transaction and of a reading one."""
    async with caller(addresses, folder) as who:

        async def write() -> None:
            async with who.database.tenant(who.tenant_id) as session:
                await session.execute(text("UPDATE tenants SET name = 'Bench'"))

        async def read() -> None:
            async with who.database.tenant(who.tenant_id) as session:
                await session.execute(text("SELECT name FROM tenants"))

        async def small_upload() -> None:
            assert (await who.upload([("a.txt", os.urandom(500).hex().encode())])).is_success

        async def large_upload() -> None:
            assert (await who.upload([("a.txt", os.urandom(5 * MEGABYTE))])).is_success

        async def many_files() -> None:
            files = [(f"{number}.txt", os.urandom(20).hex().encode()) for number in range(200)]
            assert (await who.upload(files)).is_success

        for work, rounds in ((read, 400), (write, 400), (small_upload, 60), (large_upload, 10), (many_files, 5)):
            print(f"{work.__name__:14} {await median_of(work, rounds):8.2f} ms")


async def median_of(work: Callable[[], Awaitable[None]], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return median(taken) * 1000


PARTS = {"lost": lost, "killed": killed, "caps": caps, "cost": cost}


def main() -> None:
    logging.disable(logging.CRITICAL)
    configure_logging(load_settings(env_file=None))
    if sys.argv[1:2] == ["die"]:
        data, files, tenant_id, project = sys.argv[2:]
        asyncio.run(die(Path(data), Path(files), tenant_id, project))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # argparse also compares the empty list with the choices
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all when not given")
    for name in parser.parse_args().parts or PARTS:
        with bench_servers(durable=name == "cost") as (addresses, folder):
            asyncio.run(PARTS[name](addresses, folder))


if __name__ == "__main__":
    main()
