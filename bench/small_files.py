"""Measures how fast many small files become searchable, and what another tenant waits for its own file meanwhile.

    python -m bench.small_files [--files 2000] [--embedder none minilm] [--rounds 1]

Starts `cli.py up` on a folder and a port of its own. A tenant uploads so many notes of one line, as many in a request
as it may hold, and the clock runs until all of them are completed, and until all are embedded. Meanwhile another
tenant uploads one file after another, and waits for each. The memory is that of the worker with its parser, before and
after.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import httpx2

from bench.memory import PLAN, look_at, processes
from fastapi_ignite.core.config import load_settings
from support.command_line import open_folder
from support.http_clients import TenantClient, tenant_factory
from support.running_stack import RunningStack

PAUSE_SECONDS = 0.25
PAGE = 100
FILES_IN_REQUEST = 2000
TOPICS = ("pump", "valve", "turbine", "conveyor", "encoder", "gearbox", "furnace", "chiller", "boiler", "mixer")


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds from the start of the request, and what the other tenant waited for each of its files."""

    completed: float
    embedded: float
    waits: list[float]


def groups(count: int) -> list[Sequence[int]]:
    """Return the numbers of the notes, by request."""
    return [range(first, min(first + FILES_IN_REQUEST, count)) for first in range(0, count, FILES_IN_REQUEST)]


def notes(numbers: Iterable[int], label: str) -> list[tuple[str, tuple[str, bytes]]]:
    """Return the parts of a form: notes of one line, no two of them alike."""
    return [
        (
            "files",
            (
                f"note-{label}-{number}.txt",
                f"Note {label}-{number}: the {TOPICS[number % len(TOPICS)]} needs {number} parts.\n".encode(),
            ),
        )
        for number in numbers
    ]


async def progress(tenant: TenantClient, project: str) -> tuple[int, float]:
    """Return how many files are completed, and how much of them is embedded."""
    completed, after, embedded = 0, None, 0.0
    while True:
        params = {"limit": PAGE} | ({"after": after} if after else {})
        page = (await tenant.get(f"/ingestion/projects/{project}/files", params=params)).raise_for_status().json()
        states = [file["status"] for file in page["files"]]
        if {"failed", "cancelled"} & set(states):
            raise SystemExit(f"a file failed: {page['files']}")
        completed += states.count("completed")
        embedded = page["embedded"]
        after = page["next_after"]
        if after is None:
            return completed, embedded


async def reach(tenant: TenantClient, project: str, *, completed: int, embedded: float = 0) -> None:
    """Wait until so many files are completed, and until that share is embedded."""
    while True:
        files, share = await progress(tenant, project)
        if files >= completed and share >= embedded:
            return
        await asyncio.sleep(PAUSE_SECONDS)


async def upload_one_by_one(tenant: TenantClient, project: str, stop: asyncio.Event) -> list[float]:
    """Upload single files until `stop` is set, and return the seconds until each was completed."""
    waits: list[float] = []
    while not stop.is_set():
        began = time.perf_counter()
        answer = await tenant.post(
            f"/ingestion/projects/{project}/upload_and_attach",
            params={"wait_seconds": 60},
            files=notes([0], f"other-{len(waits)}"),
        )
        if answer.raise_for_status().json()["batch_status"] != "completed":
            raise SystemExit(f"a file of the other tenant was not completed in 60 s: {answer.text}")
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE_SECONDS)
    return waits


async def measure(stack: RunningStack, count: int, label: str) -> Figures:
    async with httpx2.AsyncClient(base_url=stack.api, timeout=600) as client:
        new_tenant = tenant_factory(client, load_settings(env_file=None))
        one, other = [await new_tenant("small-files") for _ in range(2)]
        project, others_project = [await tenant.create_project() for tenant in (one, other)]
        stop = asyncio.Event()
        waiting = asyncio.create_task(upload_one_by_one(other, others_project, stop))
        began = time.perf_counter()
        for numbers in groups(count):
            answer = await one.post(
                f"/ingestion/projects/{project}/upload_and_attach",
                params={"wait_seconds": 0},
                files=notes(numbers, label),
            )
            answer.raise_for_status()
        await reach(one, project, completed=count)
        completed = time.perf_counter() - began
        stop.set()
        waits = await waiting
        await reach(one, project, completed=count, embedded=1)
        return Figures(completed, time.perf_counter() - began, waits)


def worker_megabytes(stack: RunningStack) -> float:
    held = [look_at(pid) for kind, pids in processes(stack).items() if kind.startswith("worker") for pid in pids]
    return sum(each.pss for each in held if each) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--embedder", nargs="+", default=["none", "minilm"])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.files} notes of one line, load average before {os.getloadavg()[0]:.1f}\n")
    print("| embedder | completed | files a second | embedded | another tenant's file | worker |")
    print("| --- | --- | --- | --- | --- | --- |")
    for embedder in options.embedder:
        with open_folder() as folder:
            stack = RunningStack(folder, RAG_EMBEDDER=embedder).wait_until_healthy()
            try:
                stack.commands.run("plans", "set", "small-files", *PLAN.split()).succeeded()
                for number in range(options.rounds):
                    before = worker_megabytes(stack)
                    found = asyncio.run(measure(stack, options.files, f"{embedder}-{number}"))
                    print(
                        f"| {embedder} | {found.completed:.1f} s "
                        f"| {options.files / found.completed:.0f} | {found.embedded:.1f} s "
                        f"| {median(found.waits):.2f} s, longest {max(found.waits):.2f} s "
                        f"| {before:.0f} to {worker_megabytes(stack):.0f} MB |",
                        flush=True,
                    )
            finally:
                stack.end()


if __name__ == "__main__":
    main()
