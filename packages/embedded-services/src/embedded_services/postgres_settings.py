"""The settings of PostgreSQL that depend on the machine.

The server is one of several users of a machine: the API, the worker with its models, and on a laptop all other
programs. So the shares are smaller than those for a machine that is the database's alone.
"""

from __future__ import annotations

from embedded_services.machine import Machine

MEGABYTE = 1 << 20


def fit(machine: Machine) -> dict[str, str]:
    """Return the settings that fit the machine, by name."""
    memory = machine.memory
    maintenance = _maintenance_megabytes(machine)
    return {
        # The kernel caches the files, too, and a stop must write what is dirty within ten seconds.
        "shared_buffers": f"{_megabytes(memory // 8, 128, 1024)}MB",
        # Nothing is reserved: the planner takes it as what the kernel and the server cache together.
        "effective_cache_size": f"{_megabytes(memory // 2, 512, 1 << 20)}MB",
        # A build of an HNSW index gets many times slower where its graph does not fit.
        "maintenance_work_mem": f"{maintenance}MB",
        # Three vacuums may run at a time.
        "autovacuum_work_mem": f"{max(maintenance // 4, 64)}MB",
        # Each sort or hash of each connection may take it.
        "work_mem": f"{_megabytes(memory // 1024, 4, 16)}MB",
        # More would make the recovery after a crash longer.
        "max_wal_size": "2GB",
        "min_wal_size": "256MB",
        # A page read at random costs hardly more than the next one, on an SSD or from the kernel's cache.
        "random_page_cost": "1.1",
        "max_parallel_workers": str(machine.cores),
        # Requests run beside each other, so one of them never takes all processors.
        "max_parallel_workers_per_gather": str(min(machine.cores // 2, 2)),
        "max_parallel_maintenance_workers": str(min(machine.cores // 2, 4)),
    }


def shared_memory_needed(machine: Machine) -> int:
    """Return the bytes of /dev/shm that queries and a parallel index build need. Docker gives 64 MB."""
    return (_maintenance_megabytes(machine) + 128) * MEGABYTE


def configuration(machine: Machine, own: str) -> str:
    """Return the text of the server's configuration file. `own` is text in the same format, and beats the rest.

    The file stands in the folder of the cluster. `ALTER SYSTEM` beats all of it, because PostgreSQL reads what that
    wrote last.
    """
    lines = [f"{name} = '{value}'" for name, value in fit(machine).items()]
    return "\n".join(["include 'postgresql.conf'", *lines, own, ""])


def _maintenance_megabytes(machine: Machine) -> int:
    return _megabytes(machine.memory // 16, 64, 1024)


def _megabytes(size: int, least: int, most: int) -> int:
    return min(max(size // MEGABYTE, least), most)
