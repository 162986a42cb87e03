"""Settings of the current process: ending with its parent, open files, and protection of its memory."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import time
from pathlib import Path

from fastapi_ignite.infra.sandbox.kernel import prevent_dumps

POLL_SECONDS = 0.5
GRACE_SECONDS = 20
SUPERVISOR_PID_VARIABLE = "IGNITE_SUPERVISOR_PID"
SUPERVISED_VARIABLE = "IGNITE_SUPERVISED"
_SESSION_PRIORITY = Path("/proc/self/autogroup")


def protect_process_memory(*, debug: bool) -> None:
    """Forbid other processes of the same user to read memory and environment (`prevent_dumps`), except with `debug`.

    Call this at the start of each process that has secrets. A program that exec starts must call it again.
    """
    if not debug:
        prevent_dumps()


def lower_session_priority(niceness: int) -> None:
    """Let the processes of other sessions go first, if a supervisor has given this process a session of its own.

    Linux gives each session an equal share of the processor and applies `os.nice` within a session only (autogroup in
    sched(7)), except where a container or systemd divides the processor. Call this before `protect_process_memory`:
    afterwards only root may write the file.
    """
    if SUPERVISED_VARIABLE in os.environ:
        with contextlib.suppress(OSError):  # another kernel, or another process of this user did it just now
            _SESSION_PRIORITY.write_text(str(niceness))


def exit_with_parent() -> None:
    """Send this process SIGTERM when its parent or supervisor has ended, and kill it 20 seconds later.

    Call this once in each process, because threads do not survive a fork. Processes that this one starts later watch
    only this one, and not the supervisor: a worker that gets SIGTERM twice drops its work and hangs.
    """
    supervisor = int(os.environ.get(SUPERVISOR_PID_VARIABLE, "0"))
    os.environ[SUPERVISOR_PID_VARIABLE] = str(os.getpid())
    threading.Thread(target=_watch, args=(os.getppid(), supervisor), name="exit-with-parent", daemon=True).start()


def raise_descriptor_limit(wanted: int) -> int:
    """Raise the soft limit of open files to `wanted`, if the hard limit allows it, and return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than its hard limit says
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    return soft


def _watch(parent: int, supervisor: int) -> None:
    while os.getppid() == parent and _exists(supervisor):
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _exists(supervisor: int) -> bool:
    """Tell whether the supervisor runs; 0 means none. It may have died before this process started to watch."""
    if supervisor == 0:
        return True
    try:
        os.kill(supervisor, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
