"""Runs the parts of the stack as child processes, with one merged log, until it is told to stop."""

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
from fastapi_ignite.infra.process import SUPERVISOR_PID_VARIABLE

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
    """`env` is the whole environment of the child, None ours; the supervisor adds its marks to either."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class HungPolicy:
    """When a child counts as hung. Each of its processes beats once a second through the pipe, see `heartbeat.py`."""

    pipe: Path
    hung_seconds: float
    start_seconds: float


@dataclass(slots=True)
class _Seat:
    """A child's place: the process in it changes with each restart."""

    child: ChildProcess
    process: subprocess.Popen[bytes] | None = None
    reader: threading.Thread | None = None
    started_at: float = 0
    restart_at: float = 0
    restart_delay: float = field(default=FIRST_RESTART_SECONDS)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill_group(self) -> None:
        """Also reaches what the child forked and left behind; the child is the leader of its group."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # empty; macOS says "not permitted" of zombies
                return


class MergedLog:
    """Lines of several processes on one stream, each behind its writer's name.

    `file` is what the stream appends to, where that is to be kept small.
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
                # nobody reads any more (`| head`); the children must not block on a full pipe because of that
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
    """Keeps `children` running, and replaces one that ends or, with a `hung` policy, one that hangs.

    `heartbeat` is called about once a second from the thread of `run()`. `log_file` is the file behind `output`, to be
    kept small.
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
        self._seats = [_Seat(child) for child in children]
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
        """Blocks until SIGTERM, SIGINT, SIGHUP or `request_stop()`; must be called in the main thread.

        Returns 0 when every child ended by itself in time, 1 when one had to be killed.
        """
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` sets it
            numbers.append(signal.SIGHUP)
        previous = {number: signal.signal(number, self._on_signal) for number in numbers}
        self._listen()
        try:
            while not self._stop_requests:
                self._keep_running()
                self._end_hung_processes()
                self._beat()
                time.sleep(POLL_SECONDS)
            return self._stop()
        except BaseException:
            for seat in self._seats:
                seat.kill_group()
            raise
        finally:
            if self._pipe:
                self._pipe.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def request_stop(self) -> None:
        """The first request stops the children in order, the second kills them."""
        self._stop_requests += 1

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # as signal.signal wants it
        self.request_stop()

    def _listen(self) -> None:
        policy = self._hung_policy
        if policy is None:
            return
        try:
            self._pipe = HeartbeatPipe(policy.pipe)
        except OSError as error:
            self._say(f"{policy.pipe} cannot be made ({error.strerror}): a child that hangs will not be replaced")
            return
        self._hung_processes = HungProcesses(
            self._pipe, hung_seconds=policy.hung_seconds, start_seconds=policy.start_seconds
        )

    def _end_hung_processes(self) -> None:
        """The child's own end, and what follows, is seen by `_keep_running`."""
        if self._hung_processes is None:
            return
        names = {seat.process.pid: seat.child.name for seat in self._seats if seat.process and seat.is_running()}
        for step in self._hung_processes.look(names):
            what = "is told to end" if step.number == signal.SIGTERM else "is killed"
            whole = " with all its processes" if step.whole_group else ""
            self._say(
                f"{names[step.group]} (process {step.pid}) hangs: no sign of life for {step.silent_seconds:.0f} s; "
                f"it {what}{whole}"
            )
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if step.whole_group:
                    os.killpg(step.group, step.number)
                else:
                    os.kill(step.pid, step.number)

    def _keep_running(self) -> None:
        for seat in self._seats:
            if seat.is_running():
                continue
            now = time.monotonic()
            if seat.process is not None:
                self._settle_exit(seat, seat.process.returncode, now)
            elif now >= seat.restart_at:
                self._start(seat, now)

    def _settle_exit(self, seat: _Seat, code: int, now: float) -> None:
        seat.kill_group()
        seat.process = None
        if now - seat.started_at >= STABLE_AFTER_SECONDS:
            seat.restart_delay = FIRST_RESTART_SECONDS
        self._schedule_restart(seat, f"ended ({_exit_text(code)})", now)

    def _schedule_restart(self, seat: _Seat, what_happened: str, now: float) -> None:
        self._say(f"{seat.child.name} {what_happened}; starting it again in {seat.restart_delay:g} s")
        seat.restart_at = now + seat.restart_delay
        seat.restart_delay = min(seat.restart_delay * 2, MAX_RESTART_SECONDS)

    def _start(self, seat: _Seat, now: float) -> None:
        environment = dict(os.environ if seat.child.env is None else seat.child.env)
        marks = {"IGNITE_SUPERVISED": "1", SUPERVISOR_PID_VARIABLE: str(os.getpid())}
        if self._pipe:
            marks[PIPE_VARIABLE] = str(self._pipe.path)
        try:
            process = subprocess.Popen(  # noqa: S603  # the caller's own programs
                list(seat.child.argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment | marks,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor only
            )
        except OSError as error:
            self._schedule_restart(seat, f"cannot be started: {error}", now)
            return
        seat.process, seat.started_at = process, now
        seat.reader = threading.Thread(
            target=self._log.follow, args=(seat.child.name, process.stdout), name=f"log-{seat.child.name}", daemon=True
        )
        seat.reader.start()

    def _beat(self) -> None:
        if self._heartbeat is None or time.monotonic() < self._heartbeat_at:
            return
        self._heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        try:
            self._heartbeat()
        except Exception as error:  # noqa: BLE001  # whatever ails the caller, the children go on
            if str(error) != self._heartbeat_failure:
                self._say(f"{type(error).__name__}: {error}")
            self._heartbeat_failure = str(error)
        else:
            self._heartbeat_failure = ""

    def _stop(self) -> int:
        self._say("stopping")
        running = [seat for seat in self._seats if seat.is_running()]
        for seat in running:
            if seat.process is not None:
                # to the child alone: it tells its own workers, which would take a second signal for impatience
                seat.process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        while running and time.monotonic() < deadline and self._stop_requests == 1:
            self._beat()
            time.sleep(POLL_SECONDS / 2)
            running = [seat for seat in running if seat.is_running()]
        for seat in running:
            self._say(f"{seat.child.name} did not end in time and is killed")
        for seat in self._seats:
            seat.kill_group()
            if seat.process is not None:
                seat.process.wait()
            if seat.reader is not None:
                seat.reader.join(DRAIN_SECONDS)
        return 1 if running else 0

    def _say(self, text: str) -> None:
        self._log.write(OWN_NAME, text.encode())


def _exit_text(code: int) -> str:
    if code < 0:
        return f"signal {-code}, {signal.strsignal(-code)}"
    return f"exit code {code}"
