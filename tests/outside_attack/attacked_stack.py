"""A whole stack under attack: `cli.py up` on servers that this process runs and can disturb."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import URL

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.infra.db import Database, migrations
from fastapi_ignite.infra.services import Services
from infra.embedded_instances import wait_until
from support.command_line import CommandLine, free_port
from support.commit_proxy import CommitProxy, Loss

from embedded_services import EmbeddedLease, EmbeddedServerError, acquire, status

START_SECONDS = 90
HANG_SECONDS = "8"
# the time after which a process that stopped before its first heartbeat is replaced
FIRST_BEAT_SECONDS = "45"
SERVERS = {"guardian": "guardian_pid", "postgres": "postgres_pid", "valkey": "redis_pid"}
# no attack reaches the limits of this plan, so that every refusal is a fault
PLAN = ("--max-projects", "9", "--message-cap", "1000000", "--upload-char-cap", "1000000000")
RATE = ("--rate-limit-rpm", "1000000")


class AttackedStack:
    """A stack whose parts can be found by name.

    It reaches PostgreSQL through a proxy that can drop the answers to COMMIT.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self._lease = acquire(folder / "servers")
        self._healing = _Healing(self._lease)
        direct = Services(load_settings(env_file=None), self._lease).addresses
        migrations.upgrade(direct)
        self.proxy = ProxyThread(direct.owner_url)
        self.addresses = direct
        through_proxy = self.proxy.url.set(drivername="postgresql")
        self.port = free_port()
        self.commands = CommandLine(
            folder,
            PORT=str(self.port),
            DATABASE_URL=through_proxy.render_as_string(hide_password=False),
            REDIS_URL=direct.redis_url,
            IGNITE_HUNG_SECONDS=HANG_SECONDS,
            IGNITE_START_SECONDS=FIRST_BEAT_SECONDS,
            RATE_LIMIT_ANONYMOUS_RPM="1000000",
            **variables,
        )
        self._log = (folder / "up.log").open("ab")
        self._up = self._start()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def printed(self) -> str:
        return (self.folder / "up.log").read_text(errors="replace")

    @property
    def storage(self) -> Path:
        """Return the folder of the uploaded files."""
        return self.commands.data_dir / "storage"

    def database(self) -> Database:
        """Connect with the worker's login, without the proxy."""
        return Database(self.addresses.worker_url, pool_size=2, application_name="chaos")

    def make_plan(self) -> None:
        self.commands.run("plans", "set", "chaos", *PLAN, *RATE).succeeded()

    def wait_until_healthy(self) -> None:
        """Wait until the API answers."""
        wait_until(self._answers, "the API answers", START_SECONDS)

    def _answers(self) -> bool:
        if self._up.poll() is not None:
            raise AssertionError(self.printed[-4000:])
        try:
            return httpx2.get(f"{self.api}/health", timeout=2).is_success
        except httpx2.HTTPError:
            return False

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  our own program
            self.commands.command("up"),
            env=self.commands.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def find(self, part: str) -> int | None:
        """Return the process id of a part, or None while it does not run (a parser runs only for a moment)."""
        if part == "up":
            return self._up.pid
        if part in SERVERS:
            pid: int | None = getattr(status(self.folder / "servers"), SERVERS[part])
            return pid
        if part == "backend":
            postgres = self.find("postgres")
            return random.choice(_children(postgres) or [None]) if postgres else None
        return _last(self._parts(part))

    def _parts(self, part: str) -> Iterator[int]:
        """Yield the process ids of a part.

        `api`, `worker` and `scheduler` are children of `up`; `worker process` is a child of the worker.
        """
        command, _, inner = part.partition(" ")
        if command == "parser":
            yield from (pid for pid in _descendants(self._up.pid) if _is_parser(pid))
            return
        for pid in _children(self._up.pid):
            words = _command(pid)
            if "fastapi_ignite.cli" in words and words[words.index("fastapi_ignite.cli") + 1] == command:
                yield from (child for child in _children(pid) if _command(child) == words) if inner else [pid]

    def send(self, part: str, number: signal.Signals) -> int | None:
        """Send a signal to a part, and return its process id, or None if the part does not run."""
        pid = self.find(part)
        if pid is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if part == "up" and number is signal.SIGKILL:
            self._up.wait()
            self._up = self._start()
        return pid

    def stop(self) -> None:
        """Stop the stack, then the servers."""
        self._up.terminate()
        try:
            self._up.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self._up.pid, signal.SIGKILL)
            self._up.wait()
        self._log.close()
        self._healing.stop()
        self.proxy.close()
        self._lease.release()


class ProxyThread:
    """The proxy, in an event loop of its own thread: code that waits for the stack does not delay it."""

    def __init__(self, target: URL) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="commit-proxy", daemon=True)
        self._thread.start()
        self._proxy = CommitProxy(target)
        self._call(self._proxy.__aenter__())
        self.url = self._proxy.url()

    def lose(self, loss: Loss, count: int) -> None:
        """Lose the next `count` COMMITs, or the answers to them."""
        self._loop.call_soon_threadsafe(partial(self._proxy.lose, loss, count=count))

    def restore(self) -> int:
        """Stop losing COMMITs, and return how many were lost."""
        self._loop.call_soon_threadsafe(self._proxy.restore)
        return self._proxy.lost

    def close(self) -> None:
        """End every connection."""
        self._call(self._proxy.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class _Healing:
    """Restarts a killed guardian, as `up` does when it runs the servers itself."""

    def __init__(self, lease: EmbeddedLease) -> None:
        self._lease = lease
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="healing", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(1):
            with contextlib.suppress(EmbeddedServerError):
                self._lease.ensure()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _is_parser(pid: int) -> bool:
    return any("extraction.fork_server" in word for word in _command(pid))


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["/bin/ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603  a number
    return [int(line) for line in listed.stdout.split()]


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def _last(found: Iterator[int]) -> int | None:
    pids = list(found)
    return pids[-1] if pids else None
