"""Helpers that run `python cli.py …` as a real process, on a data folder and servers that the test chooses."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.infra.services import ServiceAddresses
from support.prepared_interpreter import prepared_interpreter

# Coverage sets these variables; the processes that tests start need them to be measured too.
COVERAGE_VARIABLES = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
# No other variable of the developer's environment is passed on. COLUMNS is so wide that no table breaks its lines.
ENVIRONMENT = COVERAGE_VARIABLES | {
    "PATH": os.environ["PATH"],
    "COLUMNS": "200",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "LC_ALL": "C.UTF-8",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """The exit code and the output of a command that has ended."""

    code: int
    output: str
    error: str

    def refused_with(self) -> str:
        """Check that the command failed with one line of error, and return that line without its prefix."""
        lines = self.error.splitlines()
        assert len(lines) == 1, self.error
        assert (self.code, self.output) == (1, ""), self
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    def succeeded(self) -> str:
        """Check that the command succeeded, and return what it printed."""
        assert self.code == 0, self.error or self.output
        return self.output

    def findings(self) -> dict[str, str]:
        """Return the verdict and the words that `doctor` printed for each check."""
        rows = (line.split(None, 1) for line in self.output.splitlines()[1:] if line.strip())
        return {subject: " ".join(finding.split()) for subject, finding in rows}


class CommandLine:
    """Runs commands in a folder without `.env`, with these environment variables and no others."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.environment = ENVIRONMENT | {"IGNITE_DATA_DIR": str(self.data_dir)} | variables

    @classmethod
    def on_servers(cls, folder: Path, addresses: ServiceAddresses) -> Self:
        """Make one whose DATABASE_URL and REDIS_URL name these servers.

        It uses a Redis database number that no other test uses.
        """
        redis_url, _, number = addresses.redis_url.rpartition("/")
        return cls(
            folder,
            DATABASE_URL=addresses.owner_url.set(drivername="postgresql").render_as_string(hide_password=False),
            REDIS_URL=f"{redis_url}/{15 - int(number)}",
        )

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """Return the command with these arguments, as a user types it."""
        return [sys.executable, str(PROJECT_ROOT / "cli.py"), *arguments]

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Finished:
        """Run a command until it ends, in a process forked from one that has already imported the program."""
        prepared = prepared_interpreter(**ENVIRONMENT)
        environment = self.environment | variables
        return Finished(*prepared.run(arguments, folder=self.folder, environment=environment, stdin=stdin, seconds=90))

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command in a session of its own, as a terminal does."""
        return subprocess.Popen(  # noqa: S603  our own program
            self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment | variables,
            start_new_session=True,
        )


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a temporary folder that the account of embedded servers can enter; it cannot enter pytest's folders."""
    folder = Path(tempfile.mkdtemp(prefix="ignite-cli-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
