"""Starts the guardian, unless one runs."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from embedded_services import logfiles, processes
from embedded_services.errors import EmbeddedServerError
from embedded_services.folders import DataFolder
from embedded_services.state_files import GuardianState

GUARDIAN_MODULE = "embedded_services.guardian"
LAUNCH_TIMEOUT_SECONDS = 30
# The guardian outlives its starter and needs none of its secrets.
PASSED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

logger = logging.getLogger(__name__)


def guardian_is_running(data: DataFolder, pid: int) -> bool:
    """Return whether `pid`, as read from the state file, is still the guardian of this folder.

    Only the last part of the module's name is compared, so that the guardian of another release is recognised as well.
    """
    return processes.is_running(pid, f".{GUARDIAN_MODULE.rpartition('.')[2]} {data.root} ")


def launch_guardian_if_absent(data: DataFolder, *, durable: bool, hung_seconds: float, failed_since: float) -> bool:
    """Start the guardian if none holds the guardian's lock, and return whether it was started.

    The guardian reports in its state file. One that was suspended by a signal is resumed.

    Raises:
        EmbeddedServerError: the guardian cannot be started, or the last one failed after `failed_since`.
    """
    lock = os.open(data.guardian_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _resume_guardian(data)
            return False
        last = GuardianState.read(data.guardian_state)
        if last and last.phase == "failed" and last.changed_at >= failed_since:
            raise EmbeddedServerError(last.error or "the embedded servers failed")
        data.guardian_state.unlink(missing_ok=True)
        _launch(data, lock, durable=durable, hung_seconds=hung_seconds)
    finally:
        os.close(lock)
    return True


def _resume_guardian(data: DataFolder) -> None:
    state = GuardianState.read(data.guardian_state)
    if state and processes.is_stopped(state.pid) and guardian_is_running(data, state.pid):
        logger.warning("the guardian of the servers, process %d, was suspended by a signal and is resumed", state.pid)
        os.kill(state.pid, signal.SIGCONT)


def _launch(data: DataFolder, lock: int, *, durable: bool, hung_seconds: float) -> None:
    source = Path(__file__).resolve().parents[1]
    environment = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source), os.environ.get("PYTHONPATH"))))
    log_start = logfiles.size_of(data.guardian_log)
    output = logfiles.open_log(data.guardian_log)
    try:
        finished = subprocess.run(  # noqa: S603  # our own interpreter and module
            [
                *(sys.executable, "-P", "-m", GUARDIAN_MODULE, str(data.root)),
                *("durable" if durable else "volatile", str(hung_seconds)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=data.root,
            env=environment,
            pass_fds=(lock,),
            start_new_session=True,
            timeout=LAUNCH_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerError(f"the guardian of the servers cannot be started: {error}") from error
    finally:
        os.close(output)
    if finished.returncode != 0:
        line = logfiles.failure_line(data.guardian_log, log_start)
        raise EmbeddedServerError(f"the guardian of the servers did not start: {line} (log: {data.guardian_log})")
