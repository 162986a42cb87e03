"""Tests of starting, sharing and stopping the servers of a data folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from redis.exceptions import AuthenticationError

from infra.embedded_instances import OtherUser, postgres, server_processes, valkey, wait_until

from embedded_services import EmbeddedServerError, acquire, status

StartUser = Callable[..., OtherUser]


class TestAcquire:
    async def test_both_servers_answer_to_their_password_only(self, data_dir: Path) -> None:
        with acquire(data_dir, durable=False) as lease:
            async with postgres(lease.endpoints) as connection:
                assert await connection.fetchval("SHOW server_version_num") >= "180000"
                assert await connection.fetchval("SELECT current_database()") == "ignite"
                assert await connection.fetchval("SELECT upper('é')") == "É"
                await connection.execute("CREATE EXTENSION vector")
            async with valkey(lease.endpoints) as client:
                assert await client.set("greeting", "hello")
                assert await client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}

            with pytest.raises(asyncpg.InvalidPasswordError):
                async with postgres(lease.endpoints, password="wrong"):
                    pass
            async with valkey(lease.endpoints, password="wrong") as stranger:
                with pytest.raises(AuthenticationError):
                    await stranger.get("greeting")

    def test_secrets_stay_with_the_owner(self, data_dir: Path) -> None:
        with acquire(data_dir, durable=False) as lease:
            secrets = (lease.endpoints.postgres_password, lease.endpoints.redis_password)
            assert (data_dir / "run" / "services.json").stat().st_mode & 0o777 == 0o600
            assert (data_dir / "run").stat().st_mode & 0o077 == 0
            shown = repr(lease.endpoints) + "".join(server_processes(data_dir))
            logged = "".join(log.read_text() for log in (data_dir / "logs").iterdir())
            for secret in secrets:
                assert len(secret) >= 32
                assert secret not in shown + logged

    def test_six_at_the_same_moment_get_one_instance(self, data_dir: Path, other_user: StartUser) -> None:
        users = [other_user() for _ in range(6)]
        assert len({user.answer() for user in users}) == 1
        assert sum("guardian" in command for command in server_processes(data_dir)) == 1

    async def test_data_and_ports_outlive_a_restart(self, data_dir: Path) -> None:
        with acquire(data_dir) as lease:
            first = lease.endpoints
            async with postgres(first) as connection:
                await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        with acquire(data_dir) as lease:
            assert lease.endpoints == first
            async with postgres(lease.endpoints) as connection:
                assert await connection.fetchval("SELECT number FROM kept") == 7

    async def test_lost_credentials_are_replaced(self, data_dir: Path) -> None:
        with acquire(data_dir, durable=False) as lease:
            lost = lease.endpoints.postgres_password
        wait_until(lambda: not server_processes(data_dir), "the servers have stopped")
        shutil.rmtree(data_dir / "run")
        with acquire(data_dir, durable=False) as lease:
            assert lease.endpoints.postgres_password != lost
            async with postgres(lease.endpoints) as connection:
                assert await connection.fetchval("SELECT 1") == 1

    def test_durability_is_not_lost_by_joining(self, data_dir: Path, other_user: StartUser) -> None:
        other_user(durable=False).answer()
        with pytest.raises(EmbeddedServerError, match="without durability"):
            acquire(data_dir, durable=True)


class TestLastUser:
    def test_stops_the_servers(self, data_dir: Path, other_user: StartUser) -> None:
        lease = acquire(data_dir, durable=False)
        neighbour = other_user()
        neighbour.answer()
        lease.release()
        lease.release()
        with pytest.raises(EmbeddedServerError, match="released"):
            lease.ensure()
        with acquire(data_dir, durable=False):
            assert status(data_dir).running
        assert status(data_dir).running
        neighbour.leave()
        assert wait_until(lambda: not server_processes(data_dir), "all servers stop") < 8

    def test_also_when_it_is_killed(self, data_dir: Path, other_user: StartUser) -> None:
        user = other_user()
        assert user.answer().replace(" ", "").isdigit()
        user.kill()
        assert wait_until(lambda: not server_processes(data_dir), "all servers stop") < 8

    def test_who_comes_while_they_stop_gets_them_again(self, data_dir: Path) -> None:
        for _ in range(4):
            with acquire(data_dir, durable=False) as lease:
                lease.ensure()
                assert status(data_dir).running

    def test_a_removed_folder_stops_them_and_is_told(self, data_dir: Path) -> None:
        with acquire(data_dir, durable=False) as lease:
            shutil.rmtree(data_dir, ignore_errors=True)
            assert wait_until(lambda: not server_processes(data_dir), "all servers stop") < 8
            with pytest.raises(EmbeddedServerError, match="removed or replaced"):
                lease.ensure()


class TestStatus:
    def test_of_a_folder_never_used(self, data_dir: Path) -> None:
        report = status(data_dir)
        assert (report.running, report.phase, report.postgres_port) == (False, "stopped", None)
        assert not data_dir.exists()

    def test_names_ports_and_processes(self, data_dir: Path) -> None:
        with acquire(data_dir, durable=False) as lease:
            report = status(data_dir)
            assert report.running
            assert report.postgres_port == lease.endpoints.postgres_port
            assert report.redis_port == lease.endpoints.redis_port
            assert None not in {report.guardian_pid, report.postgres_pid, report.redis_pid}
        wait_until(lambda: status(data_dir).phase == "stopped", "the servers have stopped")
        assert status(data_dir).postgres_port == report.postgres_port
