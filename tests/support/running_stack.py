"""A whole stack as `cli.py up` runs it, with checks that none of its processes survives."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx2

from infra.embedded_instances import server_processes, wait_until
from support.command_line import CommandLine, free_port

from embedded_services.processes import command_of

START_SECONDS = 60


class RunningStack:
    """`cli.py up` as a background process, on a folder and a port of its own.

    A `launcher` is a command that runs the command after it, for example under another account.
    """

    def __init__(self, folder: Path, *options: str, launcher: Sequence[str] = (), **variables: str) -> None:
        self.port = int(variables.setdefault("PORT", str(free_port())))
        self.commands = CommandLine(folder, **variables)
        self._log = folder / "up.log"
        self._seen: set[int] = set()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [*launcher, *self.commands.command("up", *options)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=self.commands.environment,
                start_new_session=True,
            )

    @property
    def api(self) -> str:
        """Return the base URL of the API."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def printed(self) -> str:
        """Return everything that `up` has printed in this folder, also in earlier starts."""
        return self._log.read_text()

    def wait_until_healthy(self) -> Self:
        """Wait until the API answers and the scheduler has started."""
        wait_until(self._is_healthy, "the stack answers", START_SECONDS)
        wait_until(lambda: "scheduler started" in self.printed, "the scheduler runs", START_SECONDS)
        return self

    def processes(self) -> list[int]:
        """Return the ids of `up` and all of its descendants; the database servers are not among them."""
        listing = subprocess.run(["/bin/ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in map(str.split, listing.splitlines())}
        family = {self._process.pid}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        self._seen |= family
        return sorted(family)

    def processes_of(self, command: str) -> list[int]:
        """Return the stack's processes whose command line contains `command`, the oldest first."""
        return [pid for pid in self.processes() if command in (command_of(pid) or "")]

    def readiness(self) -> dict[str, str]:
        """Return the body of `health/ready`, or an empty status while the API does not answer."""
        try:
            answer: dict[str, str] = httpx2.get(f"{self.api}/health/ready", timeout=10).json()
        except httpx2.HTTPError:
            return {"status": ""}
        return answer

    def kill(self) -> None:
        """Kill the supervisor alone with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait for the end of `up`, and return its exit code."""
        return self._process.wait(60)

    def wait_until_gone(self, processes: list[int], seconds: float) -> None:
        """Wait until these processes and the servers of the folder have ended."""
        wait_until(lambda: not any(map(command_of, processes)), "every process has ended", seconds)
        wait_until(lambda: not server_processes(self.commands.data_dir), "the servers have ended", seconds)

    def end(self) -> None:
        """Stop the stack in any state; processes that a failed test left behind are killed."""
        if self._process.poll() is None:
            self.processes()
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
        for pid in filter(command_of, self._seen):
            os.kill(pid, signal.SIGKILL)
        self.wait_until_gone([], 30)

    def _is_healthy(self) -> bool:
        assert self._process.poll() is None, self.printed
        try:
            return httpx2.get(f"{self.api}/health", timeout=2).is_success
        except httpx2.HTTPError:
            return False
