"""Recognises and stops processes of the servers, and makes them die with the guardian."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from embedded_services.kernel import PR_SET_PDEATHSIG, set_process_attribute

_POLL_SECONDS = 0.02


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return a `preexec_fn` that makes the kernel signal the child when its parent thread ends, or None off Linux.

    subprocess calls it after the switch of user, which would clear the setting.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()

    def arrange() -> None:
        set_process_attribute(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # the parent died before the setting took hold
            os._exit(1)

    return arrange


def command_of(pid: int) -> str | None:
    """Return the command line of a process, or None if there is no such process or it is a zombie."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip() or None
        except OSError:
            return None
    listing = subprocess.run(  # noqa: S603  # fixed program, numeric argument
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return listing.stdout.strip() or None


def is_running(pid: int, marker: str) -> bool:
    """Return whether `pid` runs with `marker` in its command line. A number alone may belong to another process."""
    command = command_of(pid)
    return command is not None and marker in command


def is_stopped(pid: int) -> bool:
    """Return whether the process was suspended by SIGSTOP. The answer is always False off Linux."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"


def stop_by_pid(pid: int, marker: str, signals: list[tuple[signal.Signals, float]]) -> bool:
    """Stop a process that is not a child of this one, and return whether it ended.

    Each signal is followed by its time in seconds to take effect.
    """
    for number, patience in signals:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not is_running(pid, marker):
                return True
            time.sleep(_POLL_SECONDS)
    return not is_running(pid, marker)


def stop_child(process: subprocess.Popen[bytes], signals: list[tuple[signal.Signals, float]]) -> None:
    for number, patience in signals:
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return


def kill_processes_in(folder: Path, program: str) -> None:
    """Kill the processes that run `program` in `folder`; Linux only.

    A backend that is busy in a query outlives a killed postmaster. Other programs in the folder are left alone.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and (process / "exe").readlink().name == program:
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # it ended meanwhile, or belongs to another user
            continue
