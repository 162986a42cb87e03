"""The PostgreSQL server: it makes the cluster, and starts and stops the server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from embedded_services import logfiles, processes
from embedded_services.account import ServerAccount
from embedded_services.errors import EmbeddedServerError
from embedded_services.machine import Machine
from embedded_services.postgres_settings import configuration, shared_memory_needed
from embedded_services.server import SERVER_ENVIRONMENT, EmbeddedServer
from embedded_services.state_files import DATABASE, LOOPBACK, OWNER

MAJOR_VERSION = "18"
TOOL_TIMEOUT_SECONDS = 120

# On Linux, syncing the whole file system is several times faster than syncing the thousand files of a cluster.
SYNC_METHOD = "syncfs" if sys.platform == "linux" else "fsync"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket path has a limit of about 100 characters
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",
    "recovery_init_sync_method": SYNC_METHOD,
    "timezone": "UTC",
    "log_timezone": "UTC",
}
CONFIGURATION = "machine.conf"
# Commits reach the kernel before they are confirmed: a killed server loses nothing, but a power cut may.
WITHOUT_DURABILITY = {"fsync": "off", "full_page_writes": "off"}

CREATE_DATABASE = r"""
SELECT format('CREATE DATABASE %I', :'database')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
"""


class PostgresServer(EmbeddedServer):
    name: ClassVar[str] = "PostgreSQL"
    # the fast shutdown ends sessions and writes a checkpoint; after the immediate one the next start recovers
    death_signal: ClassVar[signal.Signals] = signal.SIGINT
    stop_signals: ClassVar[list[tuple[signal.Signals, float]]] = [
        (signal.SIGINT, 10),
        (signal.SIGQUIT, 5),
        (signal.SIGKILL, 5),
    ]
    hung_signals: ClassVar[list[tuple[signal.Signals, float]]] = [(signal.SIGQUIT, 2), (signal.SIGKILL, 5)]
    # SSLRequest: the process that the postmaster forks for the connection answers with one byte and logs nothing
    probe: ClassVar[bytes] = struct.pack("!ii", 8, 80877103)

    def __init__(
        self,
        *,
        programs: Path,
        folder: Path,
        own_settings: Path,
        account: ServerAccount,
        log: Path,
        password: str,
        durable: bool,
    ) -> None:
        """Prepare nothing yet. `own_settings` is a file of settings that beat those that fit the machine."""
        super().__init__(folder=folder, account=account, log=log, password=password)
        self._programs = programs
        self._own_settings = own_settings
        self._durable = durable

    def prepare(self, *, password_is_new: bool) -> None:
        """Make the cluster if there is none. Set the password of an existing one if the old password was lost."""
        self._remove_unfinished()
        if not self.folder.exists() or not any(self.folder.iterdir()):
            self._initialise()
            return
        self._check_existing()
        if password_is_new:
            self._stop_leftover()
            statement = f"ALTER ROLE {OWNER} PASSWORD '{self._password}';\n"
            self._run_tool("postgres", "--single", "-D", str(self.folder), "postgres", script=statement)

    def start(self, remembered_port: int, *, keep_waiting: Callable[[], bool]) -> int:
        port = super().start(remembered_port, keep_waiting=keep_waiting)
        self._run_tool(
            "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", f"database={DATABASE}",
            "-h", LOOPBACK, "-p", str(port), "-U", OWNER, "-d", "postgres",
            script=CREATE_DATABASE, environment={"PGPASSWORD": self._password, "PGCONNECT_TIMEOUT": "10"},
        )  # fmt: skip
        return port

    def _command(self, port: int) -> list[str]:
        machine = Machine.measure()
        own = self._own_settings.read_text(encoding="utf-8", errors="replace") if self._own_settings.exists() else ""
        file = self.folder / CONFIGURATION
        self.account.write_private_file(file, configuration(machine, own))
        settings = SETTINGS | {"port": str(port)} | ({} if self._durable else WITHOUT_DURABILITY)
        settings["config_file"] = str(file)
        if _has_less_shared_memory(shared_memory_needed(machine)):
            settings["dynamic_shared_memory_type"] = "mmap"
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.folder), *options]

    def _is_ready(self) -> bool:
        lines = self._pid_file_lines()
        return len(lines) > PidFileLine.STATUS and lines[0] == str(self.pid) and lines[PidFileLine.STATUS] == "ready"

    def _stop_leftover(self) -> None:
        marker = f"-D {self.folder} "
        pid_text = next(iter(self._pid_file_lines()), "")
        if pid_text.isdigit():
            pid = int(pid_text)
            if processes.is_running(pid, marker):
                processes.stop_by_pid(pid, marker, self.stop_signals)
            elif processes.command_of(pid) is not None:
                # the number now belongs to another program, which PostgreSQL would take for a running server
                self._pid_file.unlink(missing_ok=True)
        processes.kill_processes_in(self.folder.resolve(), "postgres")

    @property
    def _pid_file(self) -> Path:
        return self.folder / "postmaster.pid"

    def _pid_file_lines(self) -> list[str]:
        try:
            return [line.strip() for line in self._pid_file.read_text(encoding="utf-8").splitlines()]
        except FileNotFoundError:
            return []

    def _initialise(self) -> None:
        """Build the cluster in a folder beside its own and rename that, so that a cluster is never incomplete."""
        build_folder = self.folder.with_name(f"{self.folder.name}.init-{os.getpid()}")
        cluster = build_folder / "cluster"
        password_file = build_folder / "password"
        try:
            self.account.make_private_folder(build_folder)
            self.account.make_private_folder(cluster)
            self.account.write_private_file(password_file, self._password)
            self._run_tool(
                "initdb", "-D", str(cluster), "-U", OWNER, "--auth=scram-sha-256", f"--pwfile={password_file}",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8", "--no-instructions",
                f"--sync-method={SYNC_METHOD}" if self._durable else "--no-sync",
            )  # fmt: skip
            cluster.rename(self.folder)
            _sync_folder(self.folder.parent)
        except OSError as error:
            raise EmbeddedServerError(
                f"the database folder {self.folder} cannot be made: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(build_folder, ignore_errors=True)

    def _remove_unfinished(self) -> None:
        for build_folder in self.folder.parent.glob(f"{self.folder.name}.init-*"):
            processes.kill_processes_in((build_folder / "cluster").resolve(), "postgres")
            shutil.rmtree(build_folder, ignore_errors=True)

    def _check_existing(self) -> None:
        version_file = self.folder / "PG_VERSION"
        if not version_file.exists():
            raise EmbeddedServerError(
                f"{self.folder} is not empty and not a PostgreSQL database folder: move it away and start again"
            )
        version = version_file.read_text(encoding="ascii").strip()
        if version != MAJOR_VERSION:
            raise EmbeddedServerError(
                f"{self.folder} was made by PostgreSQL {version}, this program brings {MAJOR_VERSION}: dump it with "
                f"the old version and restore it, or move it away"
            )
        owner = self.folder.stat().st_uid
        if owner != self.account.owner_uid:
            raise EmbeddedServerError(
                f"{self.folder} belongs to user {owner}, the servers run as user {self.account.owner_uid}: "
                "start the program as the user who started it first"
            )

    def _run_tool(
        self, program: str, *arguments: str, script: str = "", environment: dict[str, str] | None = None
    ) -> None:
        log_start = logfiles.size_of(self.log)
        output = logfiles.open_log(self.log)
        try:
            finished = subprocess.run(  # noqa: S603  # the program comes from a wheel of ours
                [str(self._programs / program), *arguments],
                input=script.encode(),
                stdout=output if program != "postgres" else subprocess.DEVNULL,  # it prints its prompt only
                stderr=output,
                cwd=self.folder.parent,
                env=SERVER_ENVIRONMENT | (environment or {}),
                timeout=TOOL_TIMEOUT_SECONDS,
                check=False,
                preexec_fn=processes.die_with_parent(signal.SIGKILL),  # safe: no threads here
                **self.account.popen_options,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedServerError(f"{program} failed: {error} (log: {self.log})") from error
        finally:
            os.close(output)
        if finished.returncode != 0:
            raise EmbeddedServerError(
                f"{program} failed: {logfiles.failure_line(self.log, log_start)} (log: {self.log})"
            )


class PidFileLine:
    """The indexes of lines in postmaster.pid, as pg_ctl defines them."""

    STATUS = 7


def _has_less_shared_memory(size: int) -> bool:
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError):
        status = os.statvfs("/dev/shm")  # noqa: S108  # only its size is read
        return status.f_blocks * status.f_frsize < size
    return True


def _sync_folder(folder: Path) -> None:
    """Sync the folder, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
