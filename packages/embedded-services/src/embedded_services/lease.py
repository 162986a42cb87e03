"""Leases on the embedded servers, which run while at least one process holds one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from embedded_services import logfiles
from embedded_services.errors import EmbeddedServerError
from embedded_services.folders import DataFolder
from embedded_services.launch import guardian_is_running, launch_guardian_if_absent
from embedded_services.state_files import EmbeddedEndpoints, GuardianState

HUNG_SECONDS = 30.0
POLL_SECONDS = 0.02
MAX_LAUNCHES = 3
MAX_RELAUNCH_DELAY_SECONDS = 30


class EmbeddedLease:
    """Keeps the servers running until `release()` or the end of the process, however it ends.

    Processes forked from the holder share the lease and keep it, too.
    """

    def __init__(
        self, data: DataFolder, users: int, endpoints: EmbeddedEndpoints, *, durable: bool, hung_seconds: float
    ) -> None:
        self._data = data
        self._users: int | None = users
        self._endpoints = endpoints
        self._durable = durable
        self._hung_seconds = hung_seconds
        self._relaunch_delay = 0.0
        self._relaunch_at = 0.0
        self._failures_reported = time.time()

    @property
    def endpoints(self) -> EmbeddedEndpoints:
        """Read the addresses anew: a server that had to restart may have another port."""
        self._endpoints = EmbeddedEndpoints.read(self._data.services) or self._endpoints
        return self._endpoints

    def ensure(self) -> None:
        """Start the guardian again if it was killed, or resume it if it was suspended. Do not wait for the servers.

        A call is cheap: make one every second, also after an error.

        Raises:
            EmbeddedServerError: the data folder was removed or replaced, no guardian can be started, or it failed.
        """
        if self._users is None:
            raise EmbeddedServerError("the lease on the embedded servers was released")
        if not _is_same_file(self._users, self._data.users_lock):
            raise EmbeddedServerError(f"{self._data.root} was removed or replaced while in use: restart the program")
        now = time.monotonic()
        if now < self._relaunch_at:
            return
        with _one_line_errors(self._data):
            try:
                absent = launch_guardian_if_absent(
                    self._data,
                    durable=self._durable,
                    hung_seconds=self._hung_seconds,
                    failed_since=self._failures_reported,
                )
            except EmbeddedServerError:
                self._failures_reported = time.time()
                self._delay_relaunch(now)
                raise
        if absent:
            self._delay_relaunch(now)
        else:
            self._relaunch_delay = 0

    def release(self) -> None:
        """Give the lease back. The servers stop after the last one. A second call does nothing."""
        if self._users is not None:
            # the file is closed, not unlocked: forked processes share the lock and keep it
            os.close(self._users)
            self._users = None

    def _delay_relaunch(self, now: float) -> None:
        self._relaunch_delay = min(max(1, self._relaunch_delay * 2), MAX_RELAUNCH_DELAY_SECONDS)
        self._relaunch_at = now + self._relaunch_delay

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(
    data_dir: Path, *, durable: bool = True, hung_seconds: float = HUNG_SECONDS, timeout_seconds: float = 60
) -> EmbeddedLease:
    """Start the servers of `data_dir`, or share those that run, and return when both answer.

    `durable=False` trades safety against a power cut for speed, for tests. A server that does not respond for
    `hung_seconds` is replaced; the value of the first user counts.

    Raises:
        EmbeddedServerError: the servers cannot run, or do not answer in time.
    """
    data = DataFolder.at(data_dir)
    deadline = time.monotonic() + timeout_seconds
    with _one_line_errors(data):
        data.prepare()
        users = _join_users(data, deadline)
        try:
            endpoints = _wait_until_ready(data, deadline, durable=durable, hung_seconds=hung_seconds)
        except BaseException:
            os.close(users)
            raise
    return EmbeddedLease(data, users, endpoints, durable=durable, hung_seconds=hung_seconds)


def _join_users(data: DataFolder, deadline: float) -> int:
    """Take the users' lock, shared, and return its descriptor. A stopping guardian holds it until its end."""
    while True:
        users = os.open(data.users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _is_same_file(users, data.users_lock):
                return users
        except BlockingIOError:
            pass
        os.close(users)
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"the servers of {data.root} do not finish stopping (log: {data.guardian_log})")
        time.sleep(POLL_SECONDS)


def _wait_until_ready(data: DataFolder, deadline: float, *, durable: bool, hung_seconds: float) -> EmbeddedEndpoints:
    began = time.time()
    launches = 0
    while True:
        launches += launch_guardian_if_absent(data, durable=durable, hung_seconds=hung_seconds, failed_since=began)
        state = GuardianState.read(data.guardian_state)
        if state and state.phase == "ready" and guardian_is_running(data, state.pid):
            if durable and not state.durable:
                raise EmbeddedServerError(
                    f"the servers of {data.root} run without durability, for tests: use another data folder"
                )
            endpoints = EmbeddedEndpoints.read(data.services)
            if endpoints is None:
                raise EmbeddedServerError(f"{data.services} was removed while the servers run: stop their users first")
            return endpoints
        if launches > MAX_LAUNCHES or time.monotonic() > deadline:
            reason = state.error if state and state.error else logfiles.failure_line(data.guardian_log)
            raise EmbeddedServerError(f"the servers of {data.root} do not start: {reason} (log: {data.guardian_log})")
        time.sleep(POLL_SECONDS)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _one_line_errors(data: DataFolder) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise EmbeddedServerError(
            f"{error.filename or data.root} belongs to another user: run as that user, or use another data folder"
        ) from error
    except OSError as error:
        raise EmbeddedServerError(f"{error.filename or data.root}: {error.strerror}") from error
