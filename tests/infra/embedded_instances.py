"""Embedded instances for tests: processes that use them, clients, and a check that everything has stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from fastapi_ignite import SOURCE_FOLDERS
from support.command_line import COVERAGE_VARIABLES

from embedded_services import EmbeddedEndpoints, folders, processes

# The variables that our programs need to be found and to run, and no others of the developer's environment.
ENVIRONMENT = COVERAGE_VARIABLES | {
    "PYTHONPATH": os.pathsep.join((*map(str, SOURCE_FOLDERS), os.environ.get("PYTHONPATH", ""))),
    "PATH": os.environ["PATH"],
}

USER_PROGRAM = """
import sys
from pathlib import Path
from embedded_services import EmbeddedServerError, acquire
try:
    lease = acquire(Path(sys.argv[1]), durable=sys.argv[2] == "durable")
except EmbeddedServerError as error:
    print("error:", error, flush=True)
else:
    print(lease.endpoints.postgres_port, lease.endpoints.redis_port, flush=True)
sys.stdin.read()
"""


class OtherUser:
    """Runs another process, which holds a lease until it leaves or is killed."""

    def __init__(self, data_dir: Path, *, durable: bool = False, limit_file_size: int | None = None) -> None:
        limit = ["prlimit", f"--fsize={limit_file_size}"] if limit_file_size else []
        self._process = subprocess.Popen(  # noqa: S603  runs the interpreter of the tests
            [*limit, sys.executable, "-c", USER_PROGRAM, str(data_dir), "durable" if durable else "volatile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    def answer(self) -> str:
        """Wait until the process holds the lease, and return the ports, or return `error: ...` if it fails."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def leave(self) -> None:
        self._process.communicate("")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """Wait until the condition holds, and return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def server_processes(data_dir: Path) -> list[str]:
    """Return the command lines of the guardian and the servers of this folder, wherever their data is."""
    names = [str(data_dir.resolve())]
    identifier = data_dir / "instance-id"
    if identifier.exists():
        names.append(identifier.read_text().strip())
    listing = subprocess.run(["/bin/ps", "-eo", "pid="], capture_output=True, text=True, check=True)
    commands = [processes.command_of(int(pid)) or "" for pid in listing.stdout.split()]
    programs = ("embedded_services.guardian", "postgres -D", "valkey-server")
    return [
        command
        for command in commands
        if any(program in command for program in programs) and any(name in command for name in names)
    ]


def remove_instance(data_dir: Path) -> None:
    wait_until(lambda: not server_processes(data_dir), f"the servers of {data_dir} have stopped")
    identifier = data_dir / "instance-id"
    if identifier.exists():
        shutil.rmtree(folders.SHARED_FOLDER / identifier.read_text().strip(), ignore_errors=True)
        with contextlib.suppress(OSError):  # it still has other instances or copied programs
            folders.SHARED_FOLDER.rmdir()
    shutil.rmtree(data_dir, ignore_errors=True)


@contextlib.asynccontextmanager
async def postgres(endpoints: EmbeddedEndpoints, **changes: Any) -> AsyncIterator[Any]:
    login = {
        "host": endpoints.postgres_host,
        "port": endpoints.postgres_port,
        "user": endpoints.postgres_user,
        "password": endpoints.postgres_password,
        "database": endpoints.postgres_database,
    }
    connection = await asyncpg.connect(**(login | changes), timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


@contextlib.asynccontextmanager
async def valkey(endpoints: EmbeddedEndpoints, **changes: Any) -> AsyncIterator[Redis]:
    login: dict[str, Any] = {
        "host": endpoints.redis_host,
        "port": endpoints.redis_port,
        "password": endpoints.redis_password,
    }
    client = Redis(**(login | changes), retry=Retry(NoBackoff(), 0))
    try:
        yield client
    finally:
        await client.aclose()
