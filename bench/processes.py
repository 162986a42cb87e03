"""Programs of ours in processes of their own, on one data folder, as they run behind a load balancer."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from uuid import UUID

import httpx2
from sqlalchemy import text

from bench import ROOT, SOURCES
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses
from support.command_line import free_port

START_SECONDS = 300  # a busy machine is no failure
STOP_SECONDS = 60
BOUNDED = "fastapi_ignite.http.server_protocol:BoundedProtocol"
_numbers = count()
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Program:
    """A process of Python that can be killed and started again. Its output is appended to `log`."""

    def __init__(self, data: Path, *arguments: str, **variables: str) -> None:
        self._command = [sys.executable, *arguments]
        self._environment = {
            **os.environ,
            "IGNITE_DATA_DIR": str(data),
            "PYTHONPATH": os.pathsep.join(SOURCES),
            **variables,
        }
        self.log = data.parent / f"program-{next(_numbers)}.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command, env=self._environment, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603  our own program

    def start_again(self) -> None:
        """Start a program that was killed."""
        self.process.wait(STOP_SECONDS)
        self.process = self._start()

    def stop(self) -> None:
        self.process.terminate()
        self.wait_ended()

    def wait_ended(self) -> None:
        """Wait until the program has ended, and kill it if that takes too long."""
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Server(Program):
    """A program that serves HTTP on a port of its own. It is ready when it answers `ready_path` with success."""

    def __init__(self, data: Path, *arguments: str, ready_path: str = "/api/v1/health", **variables: str) -> None:
        self.port = free_port()
        self._ready_path = ready_path
        super().__init__(data, *arguments, "--port", str(self.port), **variables)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"http://127.0.0.1:{self.port}{self._ready_path}", timeout=2).is_success:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"{self._command} does not answer: {self.log.read_text(errors='replace')[-4000:]}")


class UvicornProcess(Server):
    """A uvicorn with one worker and the options of `cli.py api`.

    `application` is an object called `app`, or a factory. `protocol` is uvicorn's `--http`.
    """

    def __init__(
        self,
        data: Path,
        application: str,
        *,
        protocol: str = BOUNDED,
        ready_path: str = "/api/v1/health",
        **variables: str,
    ) -> None:
        options = ["--http", protocol, "--ws", "none", "--no-access-log", "--log-level", "warning"]
        options += ["--no-server-header", "--no-proxy-headers"]
        if not application.endswith(":app"):
            options.append("--factory")
        super().__init__(data, "-m", "uvicorn", application, *options, ready_path=ready_path, **variables)


class ApiProcess(UvicornProcess):
    """Our API, which logs warnings only. `factory` replaces its application."""

    def __init__(
        self,
        data: Path,
        *,
        factory: str = "fastapi_ignite.main:create_app",
        protocol: str = BOUNDED,
        **variables: str,
    ) -> None:
        super().__init__(data, factory, protocol=protocol, **{"LOG_LEVEL": "WARNING", **variables})


@contextlib.contextmanager
def running(programs: Iterable[Program]) -> Iterator[None]:
    """Stop the programs at the end. If one of them has ended before, print the end of what it logged."""
    programs = list(programs)
    try:
        yield
    except BaseException:
        for program in programs:
            if program.process.poll() is not None:
                print(program.log.read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        for program in programs:
            program.process.terminate()
        for program in programs:
            program.wait_ended()


@contextlib.contextmanager
def api_processes(data: Path, count: int, **variables: str) -> Iterator[Sequence[ApiProcess]]:
    """Run so many API processes, and wait until all are ready."""
    processes = [ApiProcess(data, **variables) for _ in range(count)]
    with running(processes):
        for process in processes:
            process.wait_healthy()
        yield processes


@contextlib.contextmanager
def worker_process(data: Path, **variables: str) -> Iterator[None]:
    """Run `cli.py worker` on the same data."""
    with running([Program(data, "cli.py", "worker", **variables)]):
        yield


def cpu_seconds(process_id: int) -> float:
    """Return the processor time that all threads of a process have taken so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def pin(process_id: int, cores: set[int]) -> None:
    """Let all threads of a process run on these cores only. Threads and processes that they start inherit it."""
    for thread in Path(f"/proc/{process_id}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


async def make_plan(addresses: ServiceAddresses, *, rpm: int | None = None) -> str:
    """A plan with room for everything, and a rate of its own."""
    plan_id = f"bench-{new_id().hex[-12:]}"
    database = Database(addresses.worker_url, pool_size=1)
    async with database.system() as session:
        await session.execute(
            text(
                "INSERT INTO plans (id, name, max_projects, monthly_message_cap, monthly_upload_char_cap, "
                "rate_limit_rpm) VALUES (:id, 'bench', 1000, 1000000, 1000000, :rpm)"
            ),
            {"id": plan_id, "rpm": rpm},
        )
    await database.close()
    return plan_id


def make_tenant(url: str, plan_id: str) -> tuple[UUID, dict[str, str]]:
    """Return the id of a new tenant, and the headers that authenticate it."""
    made = httpx2.post(f"{url}/tenants/create", params={"name": "bench", "plan_id": plan_id}, timeout=30)
    tenant_id = UUID(made.raise_for_status().json()["tenant_id"])
    return tenant_id, {"Authorization": f"Bearer {sign_token(tenant_id, load_settings(env_file=None))}"}
