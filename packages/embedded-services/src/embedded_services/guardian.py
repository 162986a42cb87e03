"""The process that starts the servers, restarts one that dies or hangs, and stops both when their last user is gone.

Run as `python -m embedded_services.guardian DATA_DIR durable|volatile HUNG_SECONDS` by `launch.py`, which
has already locked `guardian.lock` through a descriptor that this process inherits: the lock is held from before the
guardian exists until it is dead, so there is never a second one. It has one thread only: the kernel ties the servers'
lives to the thread that started them.
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
LONGEST_QUESTION_SECONDS = 5.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Restarts:
    """When a dead server may be started again: at once, then after 1, 2, 4 … 30 s unless it lived for a minute."""

    delay: float = 0
    attempted_at: float = 0

    def is_due(self) -> bool:
        age = time.monotonic() - self.attempted_at
        if age > max(STABLE_AFTER_SECONDS, self.delay):
            self.delay = 0
        return age >= self.delay

    def attempted(self) -> None:
        self.attempted_at = time.monotonic()
        self.delay = min(max(1, self.delay * 2), MAX_RESTART_DELAY_SECONDS)


class Reactions:
    """How long a server has not reacted. It is asked six times within the time after which it counts as hung.

    Time in which nobody asked (a suspended machine) counts as one question, so that both begin anew together.
    """

    def __init__(self, server: EmbeddedServer, hung_seconds: float) -> None:
        self._server = server
        self._hung_seconds = hung_seconds
        self._interval = hung_seconds / 6
        self._timeout = min(self._interval, LONGEST_QUESTION_SECONDS)
        self._silent_seconds = 0.0
        self._asked_at = time.monotonic()

    def reset(self) -> None:
        self._silent_seconds = 0.0
        self._asked_at = time.monotonic()

    def are_missing(self) -> bool:
        """Asks when it is time to. A server that stands still keeps the caller waiting for a few seconds."""
        began = time.monotonic()
        if began - self._asked_at < self._interval:
            return False
        waited, self._asked_at = min(began - self._asked_at, self._interval), began
        self._silent_seconds = 0 if self._server.reacts(self._timeout) else self._silent_seconds + waited
        return self._silent_seconds >= self._hung_seconds


class Guardian:
    """The two servers of one data folder, their users, and what is published about them."""

    def __init__(self, data: DataFolder, *, durable: bool, hung_seconds: float) -> None:
        self._data = data
        self._state = GuardianState(pid=os.getpid(), phase="starting", changed_at=time.time(), durable=durable)
        self._users = os.open(data.users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._asked_to_stop = False
        self._nobody_left = False
        self._next_log_check = 0.0

        account = ServerAccount.for_postgres()
        valkey_account = ServerAccount.for_valkey()
        folder = server_folder(data, (account, valkey_account))
        if not valkey_account.can_enter(folder):  # made before Valkey had an account of its own
            logger.warning("%s is closed to user %d, so Valkey runs as PostgreSQL's user", folder, valkey_account.uid)
            valkey_account = account
        known = EmbeddedEndpoints.read(data.services)
        self._password_is_new = known is None
        self._endpoints = known or EmbeddedEndpoints.generate()
        self._postgres = PostgresServer(
            programs=postgres_programs(account),
            folder=folder / "postgres",
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
        self._restarts = {server.name: Restarts() for server in self._servers}
        self._reactions = {server.name: Reactions(server, hung_seconds) for server in self._servers}

    @property
    def _servers(self) -> tuple[EmbeddedServer, EmbeddedServer]:
        return self._postgres, self._valkey

    def run(self) -> None:
        """Returns when the last user has gone or the guardian was told to stop; the servers have ended then."""
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
                self._bound_logs()
                time.sleep(POLL_SECONDS)
        except StartAbandonedError:
            logger.info("nobody waits for the servers any more")
        finally:
            self._stop()

    def _start(self, server: EmbeddedServer) -> None:
        self._restarts[server.name].attempted()
        if server is self._postgres:
            port = server.start(self._endpoints.postgres_port, keep_waiting=self._is_wanted)
            self._endpoints = replace(self._endpoints, postgres_port=port)
        else:
            port = server.start(self._endpoints.redis_port, keep_waiting=self._is_wanted)
            self._endpoints = replace(self._endpoints, redis_port=port)
        self._endpoints.write(self._data.services)
        self._reactions[server.name].reset()
        logger.info("%s answers on port %d, process %d", server.name, port, server.pid)

    def _end_hung_servers(self) -> None:
        for server in self._servers:
            if server.is_alive() and self._reactions[server.name].are_missing():
                logger.warning("%s hangs: process %d does not react; it is replaced", server.name, server.pid)
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
        return not (self._asked_to_stop or self._have_all_gone())

    def _have_all_gone(self) -> bool:
        """Takes the users' lock for good when nobody holds it: who comes now waits for the next guardian."""
        if self._nobody_left:
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
        self._nobody_left = True
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

    def _bound_logs(self) -> None:
        if time.monotonic() < self._next_log_check:
            return
        self._next_log_check = time.monotonic() + LOG_CHECK_SECONDS
        for log in (self._postgres.log, self._valkey.log, self._data.guardian_log):
            logfiles.bound_log(log)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # as signal.signal wants it
        self._asked_to_stop = True


def main() -> int:
    root, durability, hung_seconds = sys.argv[1:]
    data, durable = DataFolder.at(Path(root)), durability == "durable"
    os.umask(0o022)  # what is private says so; the rest must be open to the accounts of the servers
    if os.fork():
        # the process that asked for the servers waits for this one only; the guardian proper is nobody's child,
        # so that it leaves no zombie behind that would look alive
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
