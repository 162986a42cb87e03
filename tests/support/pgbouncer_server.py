"""A pgbouncer that is installed on this machine and runs for one test."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fastapi_ignite.infra.db.pgbouncer import through_pgbouncer
from fastapi_ignite.infra.services import ServiceAddresses

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")  # Debian installs it there
START_SECONDS = 20
SETTINGS = """
[databases]
{database} = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
"""


def reason_to_skip() -> str | None:
    """Return why pgbouncer cannot be started here, or None."""
    return None if PROGRAM else "pgbouncer is not on PATH (Debian: apt-get install pgbouncer)"


@contextlib.contextmanager
def running_pgbouncer(direct: ServiceAddresses, *, pool_size: int) -> Iterator[ServiceAddresses]:
    """Yield addresses whose API and worker logins go through pgbouncer; at the end its files are deleted."""
    folder = Path(tempfile.mkdtemp(prefix="ignite-pgbouncer-"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = direct.api_url
    (folder / "pgbouncer.ini").write_text(
        SETTINGS.format(
            database=server.database,
            host=server.host,
            server_port=server.port,
            port=port,
            folder=folder,
            pool_size=pool_size,
        )
    )
    logins = "".join(f'"{login}" "{password}"\n' for login, password in direct.login_passwords.items())
    (folder / "userlist.txt").write_text(logins)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  found on PATH
            [str(PROGRAM), str(folder / "pgbouncer.ini")], stdout=output, stderr=output, user=_account(folder)
        )
    try:
        _wait(process, port, folder)
        yield replace(
            direct,
            api_url=through_pgbouncer(direct.api_url, host="127.0.0.1", port=port),
            worker_url=through_pgbouncer(direct.worker_url, host="127.0.0.1", port=port),
        )
    finally:
        process.kill()  # it has nothing to save
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _account(folder: Path) -> int | None:
    """Return the account for pgbouncer, which refuses to run as root, or None to keep the present account."""
    if os.getuid() != 0:
        return None
    account = pwd.getpwnam("nobody").pw_uid
    for path in (folder, *folder.iterdir()):
        os.chown(path, account, -1)
    return account


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError((folder / "output").read_text(errors="replace")[-3000:])
