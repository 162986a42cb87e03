"""Tests of the settings of PostgreSQL that depend on the machine, and of what beats them."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.embedded_instances import postgres, server_processes, wait_until

from embedded_services import EmbeddedServerError, acquire
from embedded_services.machine import Machine
from embedded_services.postgres_settings import fit, shared_memory_needed

GIGABYTE = 1 << 30


def control_groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Write a tree of control groups, and return its folder and the file that names those of the process."""
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    (folder / "own").write_text(own)
    return folder / "groups", folder / "own"


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/app/api\n", {"app/memory.max": "536870912", "app/api/memory.max": "max", "app/cpu.max": "50000 100000"}),
        ("0::/\n", {"memory.max": "536870912", "cpu.max": "100000 100000"}),
        # in a container the path is the host's
        ("0::/docker/1f\n", {"memory.max": "536870912", "cpu.max": "20000 100000"}),
        (
            "5:cpu,cpuacct:/a\n4:memory:/a/b\n",
            {
                "memory/a/memory.limit_in_bytes": "536870912",
                "memory/a/b/memory.limit_in_bytes": "9223372036854771712",
                "cpu/a/cpu.cfs_quota_us": "100000",
                "cpu/a/cpu.cfs_period_us": "100000",
            },
        ),
    ],
)
def test_limits_of_control_groups_count(tmp_path: Path, own: str, files: dict[str, str]) -> None:
    assert Machine.measure(*control_groups(tmp_path, own, files)) == Machine(GIGABYTE // 2, 1)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("", {"cpu.max": "max 100000"}),
        ("0::/\n", {"memory.max": "max", "cpu.max": "max 100000"}),
        ("4:memory:/\n3:cpu:/\n", {"memory/memory.limit_in_bytes": "-1", "cpu/cpu.cfs_quota_us": "-1"}),
    ],
)
def test_without_limits_the_machine_counts(tmp_path: Path, own: str, files: dict[str, str]) -> None:
    bare = Machine.measure(tmp_path / "none", tmp_path / "none")
    assert bare.memory > GIGABYTE // 4
    assert bare.cores >= 1
    assert Machine.measure(*control_groups(tmp_path, own, files)) == bare


@pytest.mark.parametrize("memory", [GIGABYTE // 4, GIGABYTE, 8 * GIGABYTE, 24 * GIGABYTE, 1024 * GIGABYTE])
@pytest.mark.parametrize("cores", [1, 2, 64])
def test_the_servers_memory_is_a_small_share(memory: int, cores: int) -> None:
    megabytes = {name: int(value[:-2]) for name, value in fit(Machine(memory, cores)).items() if value.endswith("MB")}
    assert 128 <= megabytes["shared_buffers"] <= max(128, min(memory >> 23, 1024))
    assert 64 <= megabytes["maintenance_work_mem"] <= max(64, min(memory >> 24, 1024))
    assert 4 <= megabytes["work_mem"] <= 16
    assert shared_memory_needed(Machine(memory, cores)) > megabytes["maintenance_work_mem"] << 20


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 1), (4, 2), (64, 2)])
def test_a_query_leaves_processors_to_others(cores: int, workers: int) -> None:
    assert fit(Machine(GIGABYTE, cores))["max_parallel_workers_per_gather"] == str(workers)


class TestServer:
    async def test_a_file_beats_what_fits_and_alter_system_beats_the_file(self, data_dir: Path) -> None:
        own = data_dir / "postgresql.conf"
        with acquire(data_dir, durable=False) as lease:
            async with postgres(lease.endpoints) as connection:
                assert await connection.fetchval("SELECT current_setting('random_page_cost')") == "1.1"
                await connection.execute("ALTER SYSTEM SET maintenance_work_mem = '80MB'")
        wait_until(lambda: not server_processes(data_dir), "the servers have stopped")
        own.write_text("work_mem = '9MB'\nmaintenance_work_mem = '70MB'\nport = 1\n")
        with acquire(data_dir, durable=False) as lease:
            async with postgres(lease.endpoints) as connection:
                assert await connection.fetchval("SHOW work_mem") == "9MB"
                assert await connection.fetchval("SHOW maintenance_work_mem") == "80MB"
        wait_until(lambda: not server_processes(data_dir), "the servers have stopped")
        own.write_text("work_mem = nonsense\n")
        with pytest.raises(EmbeddedServerError, match=r"machine\.conf"):
            acquire(data_dir, durable=False)
