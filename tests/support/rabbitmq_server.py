"""A RabbitMQ server that is installed on this machine and runs for a test."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SERVER = shutil.which("rabbitmq-server")
START_SECONDS = 60
SETTINGS = """
listeners.tcp.1 = 127.0.0.1:{port}
log.console = true
log.file = false
"""


def reason_to_skip() -> str | None:
    """Return why no server can be started here, or None."""
    if SERVER is None:
        return "rabbitmq-server is not on PATH"
    try:
        account = pwd.getpwnam("rabbitmq").pw_uid
    except KeyError:
        return None
    # Debian's command refuses all other accounts
    return None if os.getuid() in {0, account} else "rabbitmq-server runs as root or as its own user only"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Yield the URL of a server with its own node name, ports and data; at the end everything is deleted."""
    folder = Path(tempfile.mkdtemp(prefix="ignite-rabbitmq-"))
    folder.chmod(0o777)  # the server switches to its own account
    port, distribution_port, mapper_port = _free_ports(3)
    (folder / "rabbitmq.conf").write_text(SETTINGS.format(port=port))
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "RABBITMQ_NODENAME": f"ignite-{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper_port),
    }
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  found on PATH
            [str(SERVER)], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait(process, port, folder)
        yield f"amqp://guest:guest@127.0.0.1:{port}/%2F"
    finally:
        _stop(process, environment, folder)


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError((folder / "output").read_text(errors="replace")[-3000:])


def _stop(process: subprocess.Popen[bytes], environment: dict[str, str], folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)  # it has nothing to save
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # Erlang's port mapper outlives its nodes
    subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False)  # noqa: S607  Erlang's own
    shutil.rmtree(folder, ignore_errors=True)
