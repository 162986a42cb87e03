"""What honest tenants notice of an attack: quiet and attacked phases in turn, in one run.

    PYTHONPATH=src:tests:bench python bench/attacks.py [--seconds 20] [--phases 2]

The attack is 4 connections with a header of 100 MB each, repeated; 1,100 half-open connections; 50 slow uploads; and a
tenant whose 160 MB of hostile HTML wait for the parser. Meanwhile another tenant calls `limits/current` eight times a
second and uploads one small file after another, waiting until each is searchable. Prints the p95 of both, and ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import httpx2

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.security import sign_token
from running_stack import RunningStack

HOSTILE_FILE = b"<html><body>" + b"<!-- " * 100_000
HOSTILE_FILES = 320
PAUSE_SECONDS = 1 / 8


class Tenant:
    """A tenant on the largest plan, with a project."""

    def __init__(self, api: str) -> None:
        self.http = httpx2.AsyncClient(base_url=api, timeout=120)
        self.token = ""
        self.path = ""

    async def begin(self) -> None:
        made = (
            await self.http.post("/tenants/create", params={"name": "Bench", "plan_id": "attack"})
        ).raise_for_status()
        self.token = sign_token(UUID(made.json()["tenant_id"]), load_settings(env_file=None))
        self.http.headers["Authorization"] = f"Bearer {self.token}"
        made = (await self.http.post("/ingestion/projects/create", params={"name": "Bench"})).raise_for_status()
        self.path = f"/ingestion/projects/{made.json()['id']}/upload_and_attach"

    async def limits(self) -> float:
        began = time.perf_counter()
        (await self.http.get("/limits/current")).raise_for_status()
        return time.perf_counter() - began

    async def upload(self) -> float:
        """Seconds until one small new file is searchable."""
        began = time.perf_counter()
        content = f"{uuid4().hex}: the gate of the hall is closed at nine.".encode()
        sent = await self.http.post(self.path, params={"wait_seconds": 60}, files=[("files", ("note.txt", content))])
        assert sent.raise_for_status().json()["batch_status"] == "completed", sent.text
        return time.perf_counter() - began

    async def upload_hostile_html(self) -> None:
        files = [("files", (f"{n}.html", HOSTILE_FILE + uuid4().hex.encode())) for n in range(HOSTILE_FILES)]
        sent = await self.http.post(self.path, params={"wait_seconds": 0}, files=files)
        sent.raise_for_status()


async def measure(tenant: Tenant, seconds: float) -> tuple[list[float], list[float]]:
    """Durations of `limits/current` and of uploads."""
    ends_at = time.monotonic() + seconds
    limits: list[float] = []
    uploads: list[float] = []

    async def call() -> None:
        while time.monotonic() < ends_at:
            limits.append(await tenant.limits())
            await asyncio.sleep(PAUSE_SECONDS)

    async def upload() -> None:
        while time.monotonic() < ends_at:
            uploads.append(await tenant.upload())
            await asyncio.sleep(4 * PAUSE_SECONDS)

    await asyncio.gather(call(), upload())
    return limits, uploads


async def attacked(
    stack: RunningStack, hostile: Tenant, honest: Tenant, seconds: float
) -> tuple[list[float], list[float]]:
    await hostile.upload_hostile_html()
    command = [sys.executable, "bench/hostile_clients.py", str(stack.port), str(seconds + 4), hostile.token]
    clients = await asyncio.create_subprocess_exec(*command, f"/api/v1{hostile.path}")
    await asyncio.sleep(3)
    figures = await measure(honest, seconds)
    await clients.wait()
    return figures


async def play(stack: RunningStack, *, phases: int, seconds: float) -> None:
    honest, hostile = Tenant(stack.api), Tenant(stack.api)
    await honest.begin()
    await hostile.begin()
    await honest.upload()
    quiet: tuple[list[float], list[float]] = ([], [])
    beside: tuple[list[float], list[float]] = ([], [])
    for _ in range(phases):
        for target, figures in (
            (quiet, await measure(honest, seconds)),
            (beside, await attacked(stack, hostile, honest, seconds)),
        ):
            for kept, more in zip(target, figures, strict=True):
                kept += more
        await _wait_for(hostile)
    for what, alone, attacked_ in zip(("limits/current", "one file"), quiet, beside, strict=True):
        _print(what, alone, attacked_)


async def _wait_for(hostile: Tenant) -> None:
    """Until the hostile files have ended."""
    path = hostile.path.replace("upload_and_attach", "files")
    while True:
        after: dict[str, str] = {}
        left = 0
        while True:
            page = (await hostile.http.get(path, params={"limit": 100, **after})).raise_for_status().json()
            left += sum(file["status"] == "in_progress" for file in page["files"])
            if not page["next_after"]:
                break
            after = {"after": page["next_after"]}
        if not left:
            return
        await asyncio.sleep(1)


def _print(what: str, alone: Sequence[float], beside: Sequence[float]) -> None:
    for name, percent in (("p50", 50), ("p95", 95)):
        one, two = (statistics.quantiles(sorted(each), n=100)[percent - 1] * 1000 for each in (alone, beside))
        print(
            f"{what:15} {name}: {one:8.1f} ms quiet ({len(alone)}), {two:8.1f} ms attacked ({len(beside)}), {two / one:.2f}"
        )
    print(f"{what:15} max: {max(alone) * 1000:8.1f} ms quiet, {max(beside) * 1000:8.1f} ms attacked")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--phases", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ignite-attacks-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        stack = RunningStack(folder)
        try:
            stack.wait_until_healthy()
            caps = ["--max-projects", "9", "--message-cap", "1000", "--upload-char-cap", "1000000000"]
            stack.commands.run("plans", "set", "attack", *caps, "--rate-limit-rpm", "1000000").succeeded()
            asyncio.run(play(stack, phases=options.phases, seconds=options.seconds))
        finally:
            stack.end()


if __name__ == "__main__":
    main()
