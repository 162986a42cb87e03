"""Operating-system matters of the server processes: who they are, that they die with the guardian, stopping them."""

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
    """A `preexec_fn` by which the kernel signals the child when the thread that started it ends; None off Linux.

    It runs after the switch of user, which would clear the setting.
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
    """The command line of a living process; None when there is none (a zombie has none either)."""
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
    """Whether `pid` lives and its command line holds `marker`: numbers are reused, so a number alone proves nothing."""
    command = command_of(pid)
    return command is not None and marker in command


def is_stopped(pid: int) -> bool:
    """Whether the process stands still after SIGSTOP (Linux only; elsewhere never)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"


def stop_stranger(pid: int, marker: str, signals: list[tuple[signal.Signals, float]]) -> bool:
    """Stops a process that is not our child by signals of growing force, each with the seconds it has to work."""
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
    """Kills what still runs `program` in `folder`: backends busy in a query outlive a killed postmaster (Linux only).

    A shell that merely stands in the folder is spared.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and (process / "exe").readlink().name == program:
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # gone meanwhile, or not ours to look at
            continue
