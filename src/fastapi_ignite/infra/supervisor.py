"""Run the parts of the stack as child processes, with one merged log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from fastapi_ignite.infra.heartbeat import PIPE_VARIABLE, HeartbeatPipe
from fastapi_ignite.infra.hung_processes import HungProcesses
from fastapi_ignite.infra.process import SUPERVISED_VARIABLE, SUPERVISOR_PID_VARIABLE

from embedded_services import logfiles

POLL_SECONDS = 0.1
HEARTBEAT_SECONDS = 1
STOP_SECONDS = 25
DRAIN_SECONDS = 2
FIRST_RESTART_SECONDS = 1
MAX_RESTART_SECONDS = 30
STABLE_AFTER_SECONDS = 60
MAX_LINE_BYTES = 64 * 1024
LOG_CHECK_BYTES = 1024 * 1024

OWN_NAME = "supervisor"
_COLOURS = ("36", "32", "35", "33", "34", "31")


@dataclass(frozen=True, slots=True)
class ChildProcess:
    """`env` is the whole environment of the child, or None for ours. The supervisor adds its own variables."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class HungPolicy:
    """When a child counts as hung. Each of its processes sends a heartbeat every second, see `heartbeat.py`."""

    pipe: Path
    hung_seconds: float
    start_seconds: float


@dataclass(slots=True)
class _ManagedChild:
    """A child and its current process, which changes with each restart."""

    child: ChildProcess
    process: subprocess.Popen[bytes] | None = None
    reader: threading.Thread | None = None
    started_at: float = 0
    restart_at: float = 0
    restart_delay: float = field(default=FIRST_RESTART_SECONDS)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill_group(self) -> None:
        """Kill the process group of the child, also forked processes that it has left behind."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (
                ProcessLookupError,
                PermissionError,
            ):  # the group is empty; for zombies macOS reports "not permitted"
                return


class MergedLog:
    """Writes the lines of several processes to one stream, each with the name of its process.

    `file` is the file behind the stream, if its size should be limited.
    """

    def __init__(self, names: Sequence[str], stream: BinaryIO, file: Path | None = None) -> None:
        self._stream = stream
        self._file = file
        self._unchecked_bytes = 0
        self._lock = threading.Lock()
        coloured = stream.isatty() and "NO_COLOR" not in os.environ
        width = max(map(len, names))
        self._prefixes: dict[str, bytes] = {}
        for index, name in enumerate(names):
            text = f"{name:<{width}} | "
            colour = _COLOURS[index % len(_COLOURS)]
            self._prefixes[name] = (f"\x1b[{colour}m{text}\x1b[0m" if coloured else text).encode()

    def write(self, name: str, line: bytes) -> None:
        with self._lock:
            try:
                self._stream.write(self._prefixes[name] + line.rstrip(b"\r\n") + b"\n")
                self._stream.flush()
                self._bound_file(len(line))
            except (OSError, ValueError):
                # nobody reads the stream any more (`| head`), but the children must not block on a full pipe
                return

    def _bound_file(self, written: int) -> None:
        self._unchecked_bytes += written
        if self._file and self._unchecked_bytes >= LOG_CHECK_BYTES:
            self._unchecked_bytes = 0
            logfiles.rotate_log(self._file)

    def follow(self, name: str, source: BinaryIO) -> None:
        with source:
            while line := source.readline(MAX_LINE_BYTES):
                self.write(name, line)


class Supervisor:
    """Keeps `children` running. It replaces one that ends and, with a `hung` policy, one that hangs.

    `heartbeat` is called about once a second from the thread of `run()`. `log_file` is the file behind `output`, if its
    size should be limited.
    """

    def __init__(
        self,
        children: Sequence[ChildProcess],
        *,
        heartbeat: Callable[[], None] | None = None,
        output: BinaryIO | None = None,
        log_file: Path | None = None,
        hung: HungPolicy | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._children = [_ManagedChild(child) for child in children]
        self._heartbeat = heartbeat
        self._heartbeat_at = 0.0
        self._heartbeat_failure = ""
        names = [OWN_NAME, *(child.name for child in children)]
        self._log = MergedLog(names, output or sys.stdout.buffer, log_file)
        self._hung_policy = hung
        self._pipe: HeartbeatPipe | None = None
        self._hung_processes: HungProcesses | None = None
        self._stop_seconds = stop_seconds
        self._stop_requests = 0

    def run(self) -> int:
        """Run until SIGTERM, SIGINT, SIGHUP or `request_stop()`. Call this in the main thread.

        Returns 0 if every child ended in time, or 1 if one had to be killed.
        """
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` sets it
            numbers.append(signal.SIGHUP)
        previous = {number: signal.signal(number, self._on_signal) for number in numbers}
        self._open_heartbeat_pipe()
        try:
            while not self._stop_requests:
                self._keep_running()
                self._end_hung_processes()
                self._beat()
                time.sleep(POLL_SECONDS)
            return self._stop()
        except BaseException:
            for managed in self._children:
                managed.kill_group()
            raise
        finally:
            if self._pipe:
                self._pipe.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def request_stop(self) -> None:
        """Stop the children at the first call, and kill them at the second."""
        self._stop_requests += 1

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature that signal.signal requires
        self.request_stop()

    def _open_heartbeat_pipe(self) -> None:
        policy = self._hung_policy
        if policy is None:
            return
        try:
            self._pipe = HeartbeatPipe(policy.pipe)
        except OSError as error:
            self._log_line(
                f"cannot create {policy.pipe} ({error.strerror}), so a child that hangs will not be replaced"
            )
            return
        self._hung_processes = HungProcesses(
            self._pipe, hung_seconds=policy.hung_seconds, start_seconds=policy.start_seconds
        )

    def _end_hung_processes(self) -> None:
        """Send signals to hung processes. `_keep_running` notices when a child has ended."""
        if self._hung_processes is None:
            return
        names = {
            managed.process.pid: managed.child.name
            for managed in self._children
            if managed.process and managed.is_running()
        }
        for step in self._hung_processes.check(names):
            what = "gets SIGTERM" if step.number == signal.SIGTERM else "is killed"
            whole = " with all its processes" if step.whole_group else ""
            self._log_line(
                f"{names[step.group]} (process {step.pid}) hangs: no heartbeat for {step.silent_seconds:.0f} s; "
                f"it {what}{whole}"
            )
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if step.whole_group:
                    os.killpg(step.group, step.number)
                else:
                    os.kill(step.pid, step.number)

    def _keep_running(self) -> None:
        for managed in self._children:
            if managed.is_running():
                continue
            now = time.monotonic()
            if managed.process is not None:
                self._handle_exit(managed, managed.process.returncode, now)
            elif now >= managed.restart_at:
                self._start(managed, now)

    def _handle_exit(self, managed: _ManagedChild, code: int, now: float) -> None:
        managed.kill_group()
        managed.process = None
        if now - managed.started_at >= STABLE_AFTER_SECONDS:
            managed.restart_delay = FIRST_RESTART_SECONDS
        self._schedule_restart(managed, f"ended ({_exit_text(code)})", now)

    def _schedule_restart(self, managed: _ManagedChild, what_happened: str, now: float) -> None:
        self._log_line(f"{managed.child.name} {what_happened}; starting it again in {managed.restart_delay:g} s")
        managed.restart_at = now + managed.restart_delay
        managed.restart_delay = min(managed.restart_delay * 2, MAX_RESTART_SECONDS)

    def _start(self, managed: _ManagedChild, now: float) -> None:
        environment = dict(os.environ if managed.child.env is None else managed.child.env)
        marks = {SUPERVISED_VARIABLE: "1", SUPERVISOR_PID_VARIABLE: str(os.getpid())}
        if self._pipe:
            marks[PIPE_VARIABLE] = str(self._pipe.path)
        try:
            process = subprocess.Popen(  # noqa: S603  # the caller's own programs
                list(managed.child.argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment | marks,
                start_new_session=True,  # Ctrl-C in the terminal reaches only the supervisor
            )
        except OSError as error:
            self._schedule_restart(managed, f"cannot be started: {error}", now)
            return
        managed.process, managed.started_at = process, now
        managed.reader = threading.Thread(
            target=self._log.follow,
            args=(managed.child.name, process.stdout),
            name=f"log-{managed.child.name}",
            daemon=True,
        )
        managed.reader.start()

    def _beat(self) -> None:
        if self._heartbeat is None or time.monotonic() < self._heartbeat_at:
            return
        self._heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        try:
            self._heartbeat()
        except Exception as error:  # noqa: BLE001  # an error of the caller must not stop the children
            if str(error) != self._heartbeat_failure:
                self._log_line(f"{type(error).__name__}: {error}")
            self._heartbeat_failure = str(error)
        else:
            self._heartbeat_failure = ""

    def _stop(self) -> int:
        self._log_line("stopping")
        running = [managed for managed in self._children if managed.is_running()]
        for managed in running:
            if managed.process is not None:
                # only the child gets the signal, as it stops its workers itself, and they abort at a second one
                managed.process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        while running and time.monotonic() < deadline and self._stop_requests == 1:
            self._beat()
            time.sleep(POLL_SECONDS / 2)
            running = [managed for managed in running if managed.is_running()]
        for managed in running:
            self._log_line(f"{managed.child.name} did not end in time and is killed")
        for managed in self._children:
            managed.kill_group()
            if managed.process is not None:
                managed.process.wait()
            if managed.reader is not None:
                managed.reader.join(DRAIN_SECONDS)
        return 1 if running else 0

    def _log_line(self, text: str) -> None:
        self._log.write(OWN_NAME, text.encode())


def _exit_text(code: int) -> str:
    if code < 0:
        return f"signal {-code}, {signal.strsignal(-code)}"
    return f"exit code {code}"
