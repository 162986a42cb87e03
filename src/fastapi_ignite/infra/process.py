"""What a process asks of its system: to end with its parent, enough descriptors, closed to other processes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import time

from fastapi_ignite.infra.sandbox.kernel import prevent_dumps

POLL_SECONDS = 0.5
GRACE_SECONDS = 20
SUPERVISOR_PID_VARIABLE = "IGNITE_SUPERVISOR_PID"


def protect_process_memory(*, debug: bool) -> None:
    """Keep settings and memory from other processes of the same user (`prevent_dumps`), unless `debug` is wanted.

    Call it first in each process that holds secrets: what exec starts has to do it again.
    """
    if not debug:
        prevent_dumps()


def exit_with_parent() -> None:
    """Sends this process SIGTERM once its parent, or the supervisor above it, is gone; ends it hard after a grace.

    Call it once in each process: threads do not survive a fork. What this process starts from now on hangs on it
    alone and hears of the supervisor's end from it: told twice to stop, a worker drops its work and hangs.
    """
    supervisor = int(os.environ.get(SUPERVISOR_PID_VARIABLE, "0"))
    os.environ[SUPERVISOR_PID_VARIABLE] = str(os.getpid())
    threading.Thread(target=_watch, args=(os.getppid(), supervisor), name="exit-with-parent", daemon=True).start()


def raise_descriptor_limit(wanted: int) -> int:
    """Raise the soft limit on file descriptors to `wanted` where the hard limit allows it; return the one in force."""
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
    """The supervisor may have died before this process could note its parent; without one there is nothing to lose."""
    if supervisor == 0:
        return True
    try:
        os.kill(supervisor, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
