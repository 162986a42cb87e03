"""What PostgreSQL and Valkey have in common: one child process, a port of its own, a log, a way to stop."""

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

# No variable of ours reaches the servers: PG* would redirect them, and their environment is readable by their users.
# An unset locale makes PostgreSQL multithreaded, and refuse to start, on macOS.
SERVER_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class StartAbandonedError(Exception):
    """Nobody waits for the server any more."""


class EmbeddedServer(ABC):
    """One server of the instance. Used from the guardian's main thread only, whose end also ends the server."""

    name: ClassVar[str]
    death_signal: ClassVar[signal.Signals]
    stop_signals: ClassVar[list[tuple[signal.Signals, float]]]
    hung_signals: ClassVar[list[tuple[signal.Signals, float]]]
    # a request that needs no password and is answered by what does the server's work
    question: ClassVar[bytes]

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
        """Starts the server and returns its port once it answers; a port taken meanwhile is answered by another.

        There is no limit of time: recovery after a crash must not be interrupted while somebody waits for it.
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
        raise EmbeddedServerError(f"{self.name} did not start: {PORT_ATTEMPTS} ports in turn were taken by others")

    def stop(self) -> None:
        if self._process is not None:
            processes.stop_child(self._process, self.stop_signals)

    def reacts(self, timeout_seconds: float) -> bool:
        """Whether anything comes back in time; a refusal is a reaction too, and the process tells if it is dead."""
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=timeout_seconds) as connection:
                connection.sendall(self.question)
                connection.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def stop_hung(self) -> None:
        """With less patience than `stop`: a server that hangs rarely hears of it."""
        if self._process is not None:
            processes.stop_child(self._process, self.hung_signals)

    def _reason(self) -> str:
        code = self._process.returncode if self._process else 0
        return f"ended by signal {-code}" if code < 0 else logfiles.telling_line(self.log, self._log_start)

    @abstractmethod
    def _command(self, port: int) -> list[str]: ...

    @abstractmethod
    def _is_ready(self) -> bool:
        """By the server's own word: a connection might reach a stranger that took the port first, password and all."""

    @abstractmethod
    def _stop_leftover(self) -> None:
        """Ends a server of this instance that outlived its guardian."""

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        output = logfiles.open_log(self.log)
        try:
            return subprocess.Popen(  # noqa: S603  # the program comes from our own wheel
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
