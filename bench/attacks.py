"""Measures what honest tenants notice of an attack, in quiet and attacked phases in turn.

    python -m bench.attacks [--seconds 20] [--phases 1]

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
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import httpx2

from bench import ROOT
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.security import sign_token
from support.running_stack import RunningStack

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

    async def limits(self) -> bool:
        return (await self.http.get("/limits/current")).is_success

    async def upload(self) -> bool:
        """Upload one small new file; true once it is searchable."""
        content = f"{uuid4().hex}: the gate of the hall is closed at nine.".encode()
        sent = await self.http.post(self.path, params={"wait_seconds": 60}, files=[("files", ("note.txt", content))])
        return sent.is_success and sent.json()["batch_status"] == "completed"

    async def upload_hostile_html(self) -> None:
        files = [("files", (f"{n}.html", HOSTILE_FILE + uuid4().hex.encode())) for n in range(HOSTILE_FILES)]
        sent = await self.http.post(self.path, params={"wait_seconds": 0}, files=files)
        sent.raise_for_status()


@dataclass
class Figures:
    """Durations in seconds, over all phases of a kind."""

    limits: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    failed: int = 0

    async def add(self, durations: list[float], call: Callable[[], Awaitable[bool]]) -> None:
        """Call, and keep how long it took, whether it succeeded or not."""
        began = time.perf_counter()
        try:
            succeeded = await call()
        except httpx2.HTTPError:
            succeeded = False
        durations.append(time.perf_counter() - began)
        self.failed += not succeeded


async def measure(tenant: Tenant, figures: Figures, seconds: float) -> None:
    """Add the durations of `limits/current` and of uploads."""
    ends_at = time.monotonic() + seconds

    async def call() -> None:
        while time.monotonic() < ends_at:
            await figures.add(figures.limits, tenant.limits)
            await asyncio.sleep(PAUSE_SECONDS)

    async def upload() -> None:
        while time.monotonic() < ends_at:
            await figures.add(figures.uploads, tenant.upload)
            await asyncio.sleep(4 * PAUSE_SECONDS)

    await asyncio.gather(call(), upload())


async def attack(stack: RunningStack, hostile: Tenant, measuring: Coroutine[None, None, None], seconds: float) -> None:
    """Measure while the clients of `hostile_clients.py` and the hostile files are at work."""
    await hostile.upload_hostile_html()
    # an attacker brings a machine of its own: here it gets the processor time that the stack leaves
    command = [
        "nice",
        "-n",
        "19",
        sys.executable,
        "-m",
        "bench.hostile_clients",
        str(stack.port),
        str(seconds + 4),
        hostile.token,
    ]
    clients = await asyncio.create_subprocess_exec(*command, f"/api/v1{hostile.path}", cwd=ROOT)
    await asyncio.sleep(3)
    await measuring
    await clients.wait()


async def play(stack: RunningStack, *, phases: int, seconds: float) -> None:
    honest, hostile = Tenant(stack.api), Tenant(stack.api)
    await honest.begin()
    await hostile.begin()
    await honest.upload()
    quiet, attacked = Figures(), Figures()
    for phase in range(phases):
        if phase:
            await _wait_for(hostile)
        await measure(honest, quiet, seconds)
        await attack(stack, hostile, measure(honest, attacked, seconds), seconds)
    _print("limits/current", quiet.limits, attacked.limits)
    _print("one file", quiet.uploads, attacked.uploads)
    print(f"failed calls: {quiet.failed} quiet, {attacked.failed} attacked")


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


def _print(what: str, quiet: Sequence[float], attacked: Sequence[float]) -> None:
    for name, percent in (("p50", 50), ("p95", 95)):
        one, two = (statistics.quantiles(each, n=100)[percent - 1] * 1000 for each in (quiet, attacked))
        print(f"{what:15} {name}: {one:8.1f} ms quiet, {two:8.1f} ms attacked, ratio {two / one:.2f}")
    longest = f"{max(quiet) * 1000:8.1f} ms quiet, {max(attacked) * 1000:8.1f} ms attacked"
    print(f"{what:15} max: {longest}; {len(quiet)} and {len(attacked)} calls")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--phases", type=int, default=1)
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
