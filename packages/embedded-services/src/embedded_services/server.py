"""The base class of both servers: a child process with its own port, log and way to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from embedded_services import logfiles, processes
from embedded_services.account import ServerAccount
from embedded_services.errors import EmbeddedServerError
from embedded_services.ports import choose_port, port_is_free
from embedded_services.state_files import LOOPBACK

PORT_ATTEMPTS = 5
READY_POLL_SECONDS = 0.02

# The servers get no other variable: PG* would redirect them, and their users can read their environment.
# Without a locale, PostgreSQL on macOS becomes multithreaded and refuses to start.
SERVER_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class StartAbandonedError(Exception):
    """No user waits for the server any more."""


class EmbeddedServer(ABC):
    """One server of the instance. Only the guardian's main thread uses it; the end of that thread ends the server."""

    name: ClassVar[str]
    death_signal: ClassVar[signal.Signals]
    stop_signals: ClassVar[list[tuple[signal.Signals, float]]]
    hung_signals: ClassVar[list[tuple[signal.Signals, float]]]
    # a request that needs no password and is answered by the process that does the work
    probe: ClassVar[bytes]

    def __init__(self, *, folder: Path, account: ServerAccount, log: Path, password: str) -> None:
        self.folder = folder
        self.account = account
        self.log = log
        self._password = password
        self._log_start = 0
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, remembered_port: int, *, keep_waiting: Callable[[], bool]) -> int:
        """Start the server and return its port once it answers. If the port is taken meanwhile, try another one.

        There is no time limit: recovery after a crash must not be interrupted while a user waits for it.

        Raises:
            EmbeddedServerError: the server ended, or every port that was tried is taken.
            StartAbandonedError: `keep_waiting` returned False.
        """
        self._stop_leftover()
        port = choose_port(remembered_port)
        for _ in range(PORT_ATTEMPTS):
            self._log_start = logfiles.size_of(self.log)
            self._process = self._spawn(self._command(port))
            while self._process.poll() is None:
                if self._is_ready():
                    self._port = port
                    return port
                if not keep_waiting():
                    self.stop()
                    raise StartAbandonedError
                time.sleep(READY_POLL_SECONDS)
            if port_is_free(port):
                raise EmbeddedServerError(f"{self.name} did not start: {self._reason()} (log: {self.log})")
            port = choose_port(0)
        raise EmbeddedServerError(f"{self.name} did not start: other programs took {PORT_ATTEMPTS} ports in turn")

    def stop(self) -> None:
        if self._process is not None:
            processes.stop_child(self._process, self.stop_signals)

    def responds(self, timeout_seconds: float) -> bool:
        """Return whether the server answers in time. A refused connection counts: `is_alive` finds a dead server."""
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=timeout_seconds) as connection:
                connection.sendall(self.probe)
                connection.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def stop_hung(self) -> None:
        """Stop the server with shorter waits than `stop`, because a hung server rarely handles signals."""
        if self._process is not None:
            processes.stop_child(self._process, self.hung_signals)

    def _reason(self) -> str:
        code = self._process.returncode if self._process else 0
        return f"ended by signal {-code}" if code < 0 else logfiles.failure_line(self.log, self._log_start)

    @abstractmethod
    def _command(self, port: int) -> list[str]: ...

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether the server itself says so. A connection could send the password to another program."""

    @abstractmethod
    def _stop_leftover(self) -> None:
        """Stop a server of this instance that outlived its guardian."""

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        output = logfiles.open_log(self.log)
        try:
            return subprocess.Popen(  # noqa: S603  # the program comes from a wheel of ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=SERVER_ENVIRONMENT,
                start_new_session=True,
                preexec_fn=processes.die_with_parent(self.death_signal),  # noqa: PLW1509  # no threads here
                **self.account.popen_options,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedServerError(f"{self.name} cannot be started from {command[0]}: {error}") from error
        finally:
            os.close(output)
