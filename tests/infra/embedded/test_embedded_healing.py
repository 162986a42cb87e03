"""Tests that the servers of a stack recover after one was killed. The supervisor of a stack calls `ensure()`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from infra.embedded_instances import OtherUser, postgres, server_processes, valkey, wait_until

from embedded_services import EmbeddedLease, acquire, status
from embedded_services.processes import is_stopped

pytestmark = pytest.mark.slow


async def healed(lease: EmbeddedLease) -> float:
    """Call `ensure()` until both servers answer again, and return the seconds that it took."""
    began = time.monotonic()
    while time.monotonic() - began < 20:
        lease.ensure()
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisConnectionError):
            async with postgres(lease.endpoints) as connection, valkey(lease.endpoints) as client:
                assert await connection.fetchval("SELECT number FROM kept") == 7
                assert await client.ping()
                return time.monotonic() - began
        await asyncio.sleep(0.1)
    pytest.fail("not healed within 20 s")


async def keep_a_row(lease: EmbeddedLease) -> int:
    """Create a row, and return the id of the process that served the session."""
    async with postgres(lease.endpoints) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


@pytest.mark.parametrize("victim", ["guardian", "postgres", "redis"])
async def test_a_killed_process_is_replaced_and_data_kept(data_dir: Path, victim: str) -> None:
    with acquire(data_dir, durable=False) as lease:
        before = lease.endpoints
        await keep_a_row(lease)
        pid = getattr(status(data_dir), f"{victim}_pid")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: getattr(status(data_dir), f"{victim}_pid") != pid or not status(data_dir).running, "death")
        assert await healed(lease) < 10
        wait_until(lambda: status(data_dir).running, "the guardian says so")
        assert getattr(status(data_dir), f"{victim}_pid") != pid
        assert lease.endpoints == before
        assert sum("guardian" in command for command in server_processes(data_dir)) == 1


async def test_servers_that_hang_are_replaced_and_data_kept(data_dir: Path) -> None:
    with acquire(data_dir, durable=False, hung_seconds=2) as lease:
        before, found = lease.endpoints, status(data_dir)
        await keep_a_row(lease)
        hung = {found.postgres_pid, found.redis_pid}
        for pid in hung:
            os.kill(pid or 0, signal.SIGSTOP)
        wait_until(lambda: not hung & {status(data_dir).postgres_pid, status(data_dir).redis_pid}, "others run", 60)
        assert await healed(lease) < 10
        wait_until(lambda: status(data_dir).running, "the guardian says so")
        assert status(data_dir).guardian_pid == found.guardian_pid
        assert lease.endpoints == before


async def test_a_guardian_that_was_stopped_goes_on_and_no_server_notices(data_dir: Path) -> None:
    with acquire(data_dir, durable=False) as lease:
        await keep_a_row(lease)
        before = status(data_dir)
        assert before.guardian_pid is not None
        os.kill(before.guardian_pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(before.guardian_pid or 0), "it stands still")
        lease.ensure()
        wait_until(lambda: not is_stopped(before.guardian_pid or 0), "it goes on")
        assert status(data_dir) == before
        assert await healed(lease) < 10


async def test_a_killed_backend_costs_no_restart_of_ours(data_dir: Path) -> None:
    with acquire(data_dir, durable=False) as lease:
        await keep_a_row(lease)
        postmaster = status(data_dir).postgres_pid
        async with postgres(lease.endpoints) as connection:
            os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await connection.fetchval("SELECT 1")
        assert await healed(lease) < 10
        assert status(data_dir).postgres_pid == postmaster


async def test_a_busy_backend_does_not_delay_the_next_postmaster(data_dir: Path) -> None:
    with acquire(data_dir, durable=False) as lease:
        await keep_a_row(lease)
        async with postgres(lease.endpoints) as connection:
            query = asyncio.create_task(connection.fetchval("SELECT sum(n) FROM generate_series(1, 10000000000) n"))
            await asyncio.sleep(0.2)
            postmaster = status(data_dir).postgres_pid
            assert postmaster is not None
            os.kill(postmaster, signal.SIGKILL)
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await query
        assert await healed(lease) < 10


def test_a_database_being_made_survives_the_death_of_its_maker(
    data_dir: Path, other_user: Callable[..., OtherUser]
) -> None:
    user = other_user()
    wait_until(lambda: bool(list(data_dir.glob("postgres.init-*/cluster/base"))), "initdb works")
    guardian = status(data_dir).guardian_pid
    assert guardian is not None
    os.kill(guardian, signal.SIGKILL)
    assert user.answer().replace(" ", "").isdigit()
    assert not list(data_dir.glob("postgres.init-*"))
