"""Tests that root gives each server its own user, and that data folders from before this rule still work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.embedded_instances import server_processes, valkey, wait_until

from embedded_services import acquire, status
from embedded_services.account import VALKEY_ID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has users to give")
NOBODY = 65534


def users_of(pid: int | None) -> set[int]:
    """Return the real, effective, saved and file system user of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {int(number) for line in lines if line.startswith("Uid:") for number in line.split()[1:]}


def stop(data_dir: Path) -> None:
    wait_until(lambda: not server_processes(data_dir), "the servers have stopped")


def test_servers_share_no_user(data_dir: Path) -> None:
    with acquire(data_dir, durable=False):
        running = status(data_dir)
        assert users_of(running.postgres_pid) == {NOBODY}
        assert users_of(running.redis_pid) == {VALKEY_ID}
        configuration = (data_dir / "valkey" / "valkey.conf").stat()
        assert (configuration.st_uid, configuration.st_mode & 0o777) == (VALKEY_ID, 0o600)
        assert (data_dir / "valkey").stat().st_mode & 0o777 == 0o700


async def test_a_folder_of_the_time_when_they_shared_one(data_dir: Path) -> None:
    acquire(data_dir, durable=False).release()
    stop(data_dir)
    folder = data_dir / "valkey"
    (folder / "valkey.pid").write_text("1\n")
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    with acquire(data_dir, durable=False) as lease:
        async with valkey(lease.endpoints) as client:
            assert await client.ping()
        assert (folder / "valkey.pid").read_text().strip() == str(status(data_dir).redis_pid)


async def test_a_folder_that_only_nobody_may_enter(data_dir: Path) -> None:
    acquire(data_dir, durable=False).release()
    stop(data_dir)
    os.chown(data_dir, NOBODY, NOBODY)
    data_dir.chmod(0o700)  # noqa: ASYNC240  nothing else runs in this loop
    with acquire(data_dir, durable=False) as lease:
        async with valkey(lease.endpoints) as client:
            assert await client.ping()
        assert users_of(status(data_dir).redis_pid) == {NOBODY}
        assert "Valkey runs as PostgreSQL's user" in (data_dir / "logs" / "guardian.log").read_text()
