"""Several API processes on the same embedded servers, as they run behind a load balancer."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import httpx2
from sqlalchemy import text

from fastapi_ignite.core.config import load_settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.core.security import sign_token
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
BOUNDED = "fastapi_ignite.http.server_protocol:BoundedProtocol"


class ApiProcess:
    """A Uvicorn with one worker of its own; `factory` names the application, `protocol` is uvicorn's `--http`."""

    def __init__(
        self,
        data: Path,
        *,
        factory: str = "fastapi_ignite.main:create_app",
        protocol: str = BOUNDED,
        **variables: str,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._command = [sys.executable, "-m", "uvicorn", factory, "--factory", "--port", str(self.port)]
        self._command += ["--http", protocol, "--no-access-log"]
        self._command += ["--log-level", "warning"]
        self._environment = {**os.environ, "IGNITE_DATA_DIR": str(data), "LOG_LEVEL": "WARNING", **variables}
        self._environment["PYTHONPATH"] = f"{ROOT / 'src'}:{ROOT / 'bench'}"
        self._log = (data.parent / f"api-{self.port}.log").open("ab")
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, cwd=ROOT, stdout=self._log, stderr=self._log)  # noqa: S603  our own program

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/health", timeout=2).is_success:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"no API after {START_SECONDS} s: {Path(self._log.name).read_text()[-4000:]}")

    def start_again(self) -> None:
        """After it was killed."""
        self.process.wait(30)
        self.process = self._start()
        self.wait_healthy()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._log.close()


@contextlib.contextmanager
def api_processes(data: Path, count: int, **variables: str) -> Iterator[Sequence[ApiProcess]]:
    """So many that are ready."""
    processes = [ApiProcess(data, **variables) for _ in range(count)]
    try:
        for process in processes:
            process.wait_healthy()
        yield processes
    finally:
        for process in processes:
            process.stop()


@contextlib.contextmanager
def worker_process(data: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """`cli.py worker` on the same data."""
    environment = {**os.environ, "IGNITE_DATA_DIR": str(data), "PYTHONPATH": str(ROOT / "src"), **variables}
    with (data.parent / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "cli.py", "worker"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


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
    """Its id and its headers."""
    made = httpx2.post(f"{url}/tenants/create", params={"name": "bench", "plan_id": plan_id}, timeout=30)
    tenant_id = UUID(made.raise_for_status().json()["tenant_id"])
    return tenant_id, {"Authorization": f"Bearer {sign_token(tenant_id, load_settings(env_file=None))}"}
