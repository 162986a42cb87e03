"""The process that starts the servers, restarts one that dies or hangs, and stops both when no user is left.

`launch.py` runs it as `python -m embedded_services.guardian DATA_DIR durable|volatile HUNG_SECONDS`. It has already
locked `guardian.lock` through a descriptor that this process inherits. The lock is therefore held from before the
guardian exists until it is dead, and there is never a second guardian. It has one thread only: the kernel ends the
servers with the thread that started them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from embedded_services import logfiles
from embedded_services.account import ServerAccount
from embedded_services.errors import EmbeddedServerError
from embedded_services.folders import DataFolder, server_folder
from embedded_services.kernel import prevent_dumps
from embedded_services.postgres import PostgresServer
from embedded_services.programs import postgres_programs, valkey_program
from embedded_services.server import EmbeddedServer, StartAbandonedError
from embedded_services.state_files import EmbeddedEndpoints, GuardianState, Phase
from embedded_services.valkey import ValkeyServer

POLL_SECONDS = 0.1
LOG_CHECK_SECONDS = 60
MAX_RESTART_DELAY_SECONDS = 30
STABLE_AFTER_SECONDS = 60
MAX_PROBE_SECONDS = 5.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RestartBackoff:
    """Decides when a dead server is started again: at once, then after 1, 2, 4 … 30 s, unless it lived for a minute."""

    delay: float = 0
    attempted_at: float = 0

    def is_due(self) -> bool:
        age = time.monotonic() - self.attempted_at
        if age > max(STABLE_AFTER_SECONDS, self.delay):
            self.delay = 0
        return age >= self.delay

    def note_attempt(self) -> None:
        self.attempted_at = time.monotonic()
        self.delay = min(max(1, self.delay * 2), MAX_RESTART_DELAY_SECONDS)


class HangDetector:
    """Finds out whether a server hangs. It probes the server six times within `hung_seconds`.

    Time without probes, as on a suspended machine, counts as one interval, so that the server gets its time again.
    """

    def __init__(self, server: EmbeddedServer, hung_seconds: float) -> None:
        self._server = server
        self._hung_seconds = hung_seconds
        self._interval = hung_seconds / 6
        self._timeout = min(self._interval, MAX_PROBE_SECONDS)
        self._silent_seconds = 0.0
        self._probed_at = time.monotonic()

    def reset(self) -> None:
        self._silent_seconds = 0.0
        self._probed_at = time.monotonic()

    def is_hung(self) -> bool:
        """Probe the server if it is time to. A hung server makes the caller wait up to `MAX_PROBE_SECONDS`."""
        began = time.monotonic()
        if began - self._probed_at < self._interval:
            return False
        waited, self._probed_at = min(began - self._probed_at, self._interval), began
        self._silent_seconds = 0 if self._server.responds(self._timeout) else self._silent_seconds + waited
        return self._silent_seconds >= self._hung_seconds


class Guardian:
    """Runs the two servers of a data folder and publishes their state."""

    def __init__(self, data: DataFolder, *, durable: bool, hung_seconds: float) -> None:
        self._data = data
        self._state = GuardianState(pid=os.getpid(), phase="starting", changed_at=time.time(), durable=durable)
        self._users = os.open(data.users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._asked_to_stop = False
        self._has_lock = False
        self._next_log_check = 0.0

        account = ServerAccount.for_postgres()
        valkey_account = ServerAccount.for_valkey()
        folder = server_folder(data, (account, valkey_account))
        if not valkey_account.can_enter(folder):  # an earlier release made it, when both had one user
            logger.warning("%s is closed to user %d, so Valkey runs as PostgreSQL's user", folder, valkey_account.uid)
            valkey_account = account
        known = EmbeddedEndpoints.read(data.services)
        self._password_is_new = known is None
        self._endpoints = known or EmbeddedEndpoints.generate()
        self._postgres = PostgresServer(
            programs=postgres_programs(account),
            folder=folder / "postgres",
            own_settings=data.postgres_settings,
            account=account,
            log=data.logs / "postgres.log",
            password=self._endpoints.postgres_password,
            durable=durable,
        )
        self._valkey = ValkeyServer(
            program=valkey_program(valkey_account),
            folder=folder / "valkey",
            account=valkey_account,
            log=data.logs / "valkey.log",
            password=self._endpoints.redis_password,
        )
        self._restarts = {server.name: RestartBackoff() for server in self._servers}
        self._hang_detectors = {server.name: HangDetector(server, hung_seconds) for server in self._servers}

    @property
    def _servers(self) -> tuple[EmbeddedServer, EmbeddedServer]:
        return self._postgres, self._valkey

    def run(self) -> None:
        """Run until no user is left or a signal asks to stop. The servers have stopped when this returns."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        try:
            self._publish("starting")
            self._postgres.prepare(password_is_new=self._password_is_new)
            for server in self._servers:
                self._start(server)
            self._publish("ready")
            while self._is_wanted():
                self._end_hung_servers()
                self._restart_dead_servers()
                self._rotate_logs()
                time.sleep(POLL_SECONDS)
        except StartAbandonedError:
            logger.info("no user waits for the servers any more")
        finally:
            self._stop()

    def _start(self, server: EmbeddedServer) -> None:
        self._restarts[server.name].note_attempt()
        if server is self._postgres:
            port = server.start(self._endpoints.postgres_port, keep_waiting=self._is_wanted)
            self._endpoints = replace(self._endpoints, postgres_port=port)
        else:
            port = server.start(self._endpoints.redis_port, keep_waiting=self._is_wanted)
            self._endpoints = replace(self._endpoints, redis_port=port)
        self._endpoints.write(self._data.services)
        self._hang_detectors[server.name].reset()
        logger.info("%s answers on port %d, process %d", server.name, port, server.pid)

    def _end_hung_servers(self) -> None:
        for server in self._servers:
            if server.is_alive() and self._hang_detectors[server.name].is_hung():
                logger.warning("%s hangs: process %d does not respond; it is replaced", server.name, server.pid)
                self._publish("starting", f"{server.name} hung (log: {server.log})")
                server.stop_hung()

    def _restart_dead_servers(self) -> None:
        for server in self._servers:
            if server.is_alive() or not self._restarts[server.name].is_due():
                continue
            logger.warning("%s ended; starting it again", server.name)
            self._publish("starting", f"{server.name} ended (log: {server.log})")
            try:
                self._start(server)
            except (EmbeddedServerError, OSError) as error:
                logger.warning("%s", error)
                self._publish("starting", str(error))
        if self._state.phase == "starting" and all(server.is_alive() for server in self._servers):
            self._publish("ready")

    def _is_wanted(self) -> bool:
        return not (self._asked_to_stop or self._has_no_users())

    def _has_no_users(self) -> bool:
        """Return whether no user is left. If so, keep the users' lock: a new user waits for the next guardian."""
        if self._has_lock:
            return True
        try:
            if not os.path.samestat(self._data.users_lock.stat(), os.fstat(self._users)):
                return True
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            logger.warning("%s was removed while the servers ran", self._data.root)
            return True
        except BlockingIOError:
            return False
        self._has_lock = True
        return True

    def _stop(self) -> None:
        self._publish("stopping")
        for server in reversed(self._servers):
            server.stop()

    def _publish(self, phase: Phase, error: str | None = None) -> None:
        self._state = replace(
            self._state,
            phase=phase,
            changed_at=time.time(),
            error=error,
            postgres_pid=self._postgres.pid,
            redis_pid=self._valkey.pid,
        )
        try:
            self._state.write(self._data.guardian_state)
        except OSError as failure:  # a full disk or a removed folder: the servers matter more than the report
            logger.warning("the state cannot be written: %s", failure)

    def _rotate_logs(self) -> None:
        if time.monotonic() < self._next_log_check:
            return
        self._next_log_check = time.monotonic() + LOG_CHECK_SECONDS
        for log in (self._postgres.log, self._valkey.log, self._data.guardian_log):
            logfiles.rotate_log(log)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a signal handler
        self._asked_to_stop = True


def main() -> int:
    root, durability, hung_seconds = sys.argv[1:]
    data, durable = DataFolder.at(Path(root)), durability == "durable"
    os.umask(0o022)  # the users of the servers need the rest; private files have modes of their own
    if os.fork():
        # launch.py waits for this process only. The guardian has no living parent then, so that it cannot end as a
        # zombie, which would look alive.
        os._exit(0)
    prevent_dumps()  # it knows the passwords of both servers
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        Guardian(data, durable=durable, hung_seconds=float(hung_seconds)).run()
    except (EmbeddedServerError, OSError) as error:
        logger.critical("%s", error)
        failed = GuardianState(
            pid=os.getpid(), phase="failed", changed_at=time.time(), durable=durable, error=str(error)
        )
        failed.write(data.guardian_state)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
