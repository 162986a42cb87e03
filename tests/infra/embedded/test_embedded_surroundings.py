"""Tests of servers on a difficult machine: used ports, closed folders, foreign data and full disks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.embedded_instances import OtherUser, postgres, remove_instance, server_processes, valkey, wait_until

from embedded_services import EmbeddedServerError, acquire, folders, logfiles, programs, server, status
from embedded_services.account import ServerAccount
from embedded_services.ports import choose_port
from embedded_services.valkey import ValkeyServer

IS_ROOT = os.geteuid() == 0


def occupy(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


class TestPorts:
    async def test_a_taken_port_is_replaced(self, data_dir: Path) -> None:
        with acquire(data_dir, durable=False) as lease:
            before = lease.endpoints
        wait_until(lambda: not server_processes(data_dir), "the servers have stopped")
        with ExitStack() as stack:
            stack.enter_context(occupy(before.postgres_port))
            stack.enter_context(occupy(before.redis_port))
            lease = stack.enter_context(acquire(data_dir, durable=False))
            assert lease.endpoints.postgres_port != before.postgres_port
            assert lease.endpoints.redis_port != before.redis_port
            async with postgres(lease.endpoints) as connection, valkey(lease.endpoints) as client:
                assert await connection.fetchval("SELECT 1") == 1
                assert await client.ping()

    def test_a_port_taken_at_the_last_moment_as_well(self, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        account = ServerAccount.for_valkey()
        valkey_server = ValkeyServer(
            program=programs.valkey_program(account),
            folder=open_folder / "valkey",
            account=account,
            log=open_folder / "valkey.log",
            password="p" * 32,
        )
        with occupy(0) as listener:
            taken: int = listener.getsockname()[1]
            choices = iter([taken, choose_port(0)])
            monkeypatch.setattr(server, "choose_port", lambda _: next(choices))
            try:
                assert valkey_server.start(0, keep_waiting=lambda: True) != taken
            finally:
                valkey_server.stop()


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that only its owner can enter, like a clone below /root."""
    folder = tmp_path / "private" / "data"
    folder.parent.mkdir(mode=0o700)
    yield folder
    for instance in tmp_path.glob("private/*"):
        remove_instance(instance)


class TestClosedFolder:
    async def test_servers_run_all_the_same(self, closed_folder: Path) -> None:
        with acquire(closed_folder, durable=False) as lease:
            async with postgres(lease.endpoints) as connection:
                home = Path(await connection.fetchval("SHOW data_directory"))
                mode = await connection.fetchval("SHOW data_directory_mode")
            assert mode == "0700"
            if IS_ROOT:
                assert home.parent.parent == folders.SHARED_FOLDER
                assert (home.parent / "origin").read_text().strip() == str(closed_folder)
            else:
                assert home == closed_folder / "postgres"

    async def test_a_copied_folder_gets_its_own_database(self, closed_folder: Path) -> None:
        with acquire(closed_folder, durable=False) as lease:
            copy = closed_folder.with_name("copy")
            copy.mkdir()
            if IS_ROOT:
                shutil.copy(closed_folder / "instance-id", copy)
            with acquire(copy, durable=False) as other:
                assert other.endpoints.postgres_port != lease.endpoints.postgres_port
            async with postgres(lease.endpoints) as connection:
                assert await connection.fetchval("SELECT 1") == 1

    def test_programs_in_a_closed_environment_are_copied_once(
        self, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = ServerAccount.for_postgres()
        installed = programs.postgres_programs(account).parents[2]
        site_packages = tmp_path / "site-packages"
        tree = site_packages / programs.POSTGRES_PACKAGE / programs.POSTGRES_TREE
        shutil.copytree(installed / programs.POSTGRES_PACKAGE / programs.POSTGRES_TREE / "bin", tree / "bin")
        libraries = f"{programs.POSTGRES_PACKAGE}.libs"
        if (installed / libraries).exists():
            shutil.copytree(installed / libraries, site_packages / libraries)
        (tree.parent / "__init__.py").touch()
        tmp_path.chmod(0o700)
        monkeypatch.setattr(programs, "SHARED_FOLDER", open_folder)
        monkeypatch.syspath_prepend(str(site_packages))

        found = programs.postgres_programs(account)
        if not IS_ROOT:
            assert found == tree / "bin"
            return
        assert found.is_relative_to(open_folder)
        made = (found / "postgres").stat().st_ino
        assert (programs.postgres_programs(account) / "postgres").stat().st_ino == made
        answer = subprocess.run(  # noqa: S603  runs a program of our own wheel
            [found / "psql", "--version"], capture_output=True, text=True, check=True, **account.popen_options
        )
        assert " 18." in answer.stdout


class TestOneLineErrors:
    """These tests cover the message that a user reads when the servers cannot run."""

    @staticmethod
    def failure(data_dir: Path) -> str:
        with pytest.raises(EmbeddedServerError) as caught:
            acquire(data_dir, durable=False, timeout_seconds=20)
        text = str(caught.value)
        assert "\n" not in text
        wait_until(lambda: not server_processes(data_dir), "the guardian has ended")
        return text

    def test_data_of_another_version_is_refused_and_kept(self, data_dir: Path) -> None:
        cluster = data_dir / "postgres"
        cluster.mkdir(parents=True)
        (cluster / "PG_VERSION").write_text("17\n")
        assert "made by PostgreSQL 17" in self.failure(data_dir)
        assert (cluster / "PG_VERSION").read_text() == "17\n"
        assert status(data_dir).phase == "failed"

    def test_something_else_in_its_place_is_refused_and_kept(self, data_dir: Path) -> None:
        (data_dir / "postgres").mkdir(parents=True)
        (data_dir / "postgres" / "diary.txt").write_text("dear diary")
        assert "not a PostgreSQL database folder" in self.failure(data_dir)
        assert (data_dir / "postgres" / "diary.txt").exists()

    def test_a_damaged_database_names_its_log(self, data_dir: Path) -> None:
        acquire(data_dir, durable=False).release()
        wait_until(lambda: not server_processes(data_dir), "the servers have stopped")
        (data_dir / "postgres" / "global" / "pg_control").unlink()
        text = self.failure(data_dir)
        assert "pg_control" in text
        assert str(data_dir / "logs" / "postgres.log") in text

    @pytest.mark.skipif(sys.platform != "linux", reason="prlimit stands in for a full disk")
    def test_no_room_for_the_database(self, data_dir: Path, other_user: Callable[..., OtherUser]) -> None:
        text = other_user(limit_file_size=4 * 1024 * 1024).answer()
        assert text.startswith("error: initdb failed: ")
        assert "File too large" in text
        assert not list(data_dir.glob("postgres*"))

    def test_missing_wheels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "path", [])
        monkeypatch.delitem(sys.modules, programs.VALKEY_PACKAGE, raising=False)  # pytest loaded it as a plugin
        for find in (programs.postgres_programs, programs.valkey_program):
            with pytest.raises(EmbeddedServerError, match="is not installed"):
                find(ServerAccount.for_postgres())

    def test_a_folder_in_the_way(self, open_folder: Path) -> None:
        (open_folder / "file").touch()
        with pytest.raises(EmbeddedServerError, match="file"):
            acquire(open_folder / "file")


class TestLogs:
    def test_a_large_log_is_moved_aside_under_its_writer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logfiles, "MAX_BYTES", 100)
        log = tmp_path / "server.log"
        writer = logfiles.open_log(log)
        try:
            os.write(writer, b"old\n" * 50)
            logfiles.rotate_log(log)
            os.write(writer, b"new\n")
        finally:
            os.close(writer)
        assert log.read_text() == "new\n"
        assert log.with_name("server.log.1").read_text() == "old\n" * 50
