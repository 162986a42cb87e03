"""Kills each part of a running stack during an ingestion and checks that nothing is lost or charged twice.

    python bench/chaos.py [--rounds 1] [--only worker postgres …]

On a stack with a data folder of its own, each round uploads without waiting, kills one process with SIGKILL while the
files are worked on, starts `up` again where that was the victim, and waits until every file is `completed`. Then the
charge must be the sum of the files' characters, and questions must find their answers.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.embedded import status

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 90
RECOVERY_SECONDS = 240
FILES = 12
PARAGRAPHS = 400
WORDS = (
    "arm",
    "belt",
    "cable",
    "drive",
    "encoder",
    "frame",
    "gate",
    "hall",
    "index",
    "joint",
    "key",
    "lock",
    "motor",
    "oil",
)
VICTIMS = ("up", "api", "worker", "worker process", "scheduler", "guardian", "postgres", "valkey")


class Stack:
    """`cli.py up` on a folder and a port of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.data = folder / "data"
        self._log = (folder / "up.log").open("ab")
        self._port = port
        self.process = self._start()
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, str(ROOT / "cli.py"), "up", "--port", str(self._port)],
            env={**os.environ, "IGNITE_DATA_DIR": str(self.data)},
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
        )

    def wait_healthy(self) -> None:
        wait_until(lambda: self._get("/health") is not None, START_SECONDS, "the API answers")

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            response = self.http.get(path)
        except httpx2.HTTPError:
            return None
        return response.json() if response.is_success else None

    def kill(self, victim: str) -> None:
        os.kill(self._pid(victim), signal.SIGKILL)
        if victim == "up":
            self.process.wait()
            self.process = self._start()

    def _pid(self, victim: str) -> int:
        servers = status(self.data)
        found = {
            "up": self.process.pid,
            "guardian": servers.guardian_pid,
            "postgres": servers.postgres_pid,
            "valkey": servers.redis_pid,
        }.get(victim)
        if found is None:
            found = children(self.process.pid)[victim.split(maxsplit=1)[0]]
        if victim == "worker process":
            found = max(children_of(found))
        return found

    def files(self, project: str) -> list[dict[str, Any]] | None:
        """All files of the project; nothing while the API is away."""
        page = self._get(f"/ingestion/projects/{project}/files")
        return page["files"] if page else None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._log.close()


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607  a number
    return [int(line) for line in listed.stdout.split()]


def children(pid: int) -> dict[str, int]:
    """The parts of the stack by name."""
    named = {}
    for child in children_of(pid):
        command = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        named[command[command.index("fastapi_ignite.cli") + 1]] = child
    return named


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.1)


def document(random_source: random.Random, number: int) -> bytes:
    """About a quarter of a megabyte of text, with one sentence that stands nowhere else."""
    lines = [" ".join(random_source.choices(WORDS, k=90)).capitalize() + "." for _ in range(PARAGRAPHS)]
    lines.insert(PARAGRAPHS // 2, f"The access code of laboratory {number} is {7000 + number}.")
    return "\n\n".join(lines).encode()


def play(stack: Stack, victim: str, random_source: random.Random) -> str:
    """One round; returns what happened."""
    created = stack.http.post("/tenants/create", params={"name": "Chaos", "plan_id": "chaos"}).raise_for_status().json()
    token = sign_token(UUID(created["tenant_id"]), load_settings(env_file=None))
    stack.http.headers["Authorization"] = f"Bearer {token}"
    project = stack.http.post("/ingestion/projects/create", params={"name": "Chaos"}).raise_for_status().json()["id"]
    stack.http.post(
        f"/ingestion/projects/{project}/upload_and_attach",
        params={"wait_seconds": 0},
        files=[("files", (f"{number}.txt", document(random_source, number))) for number in range(FILES)],
    ).raise_for_status()
    wait_until(lambda: _done(stack, project) > 0, 60, "a first file is completed")
    time.sleep(random_source.uniform(0, 0.5))
    before = _done(stack, project)
    killed_at = time.monotonic()
    stack.kill(victim)
    wait_until(lambda: _done(stack, project) == FILES, RECOVERY_SECONDS, "every file is completed")
    seconds = time.monotonic() - killed_at
    _check(stack, project)
    return f"{victim:15} killed with {before:2} of {FILES} files completed; all completed after {seconds:5.1f} s"


def _done(stack: Stack, project: str) -> int:
    files = stack.files(project) or []
    failed = [file for file in files if file["status"] not in {"completed", "in_progress"}]
    if failed:
        raise SystemExit(f"a file failed: {failed[0]}")
    return sum(file["status"] == "completed" for file in files)


def _check(stack: Stack, project: str) -> None:
    files = stack.files(project) or []
    charged = stack.http.get("/limits/current").raise_for_status().json()["usage"]["chars_uploaded"]
    expected = sum(file["characters"] for file in files)
    if charged != expected:
        raise SystemExit(f"charged {charged} characters for {expected}")
    for number in (0, FILES - 1):
        question = {"project_id": project, "question": f"What is the access code of laboratory {number}?"}
        answer = stack.http.post("/query/ask", json=question).raise_for_status().json()
        if str(7000 + number) not in answer["answer"]:
            raise SystemExit(f"laboratory {number}: {answer['answer']}")


def make_plan(stack: Stack) -> None:
    """A plan that no round fills."""
    caps = [
        "--max-projects",
        "9",
        "--message-cap",
        "1000",
        "--upload-char-cap",
        "100000000",
        "--rate-limit-rpm",
        "100000",
    ]
    subprocess.run(  # noqa: S603  our own program
        [sys.executable, str(ROOT / "cli.py"), "plans", "set", "chaos", *caps],
        env={**os.environ, "IGNITE_DATA_DIR": str(stack.data)},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random_source = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="ignite-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        stack = Stack(folder, port)
        try:
            stack.wait_healthy()
            make_plan(stack)
            for _ in range(options.rounds):
                for victim in options.only:
                    print(play(stack, victim, random_source), flush=True)
        except BaseException:
            print((folder / "up.log").read_text(errors="replace")[-6000:])
            raise
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
