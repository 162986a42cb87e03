"""The memory and the processors that this process may use, within the limits of its control groups."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Assumed where the system does not tell.
UNKNOWN_MEMORY = 4 << 30

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Machine:
    """The bytes of memory and the number of processors that a process may use."""

    memory: int
    cores: int

    @classmethod
    def measure(cls, cgroups: Path = CGROUPS, own_cgroups: Path = OWN_CGROUPS) -> Machine:
        """Return the smallest of what the machine has and what each control group above this process allows."""
        memory, cores = _physical_memory(), float(_usable_cores())
        for group in _groups(cgroups, own_cgroups, "memory"):
            for name in ("memory.max", "memory.limit_in_bytes"):
                limit = _read(group / name)
                if limit.isdigit():
                    memory = min(memory, int(limit))
        for group in _groups(cgroups, own_cgroups, "cpu"):
            quota, _, period = _read(group / "cpu.max").partition(" ")
            quota = quota or _read(group / "cpu.cfs_quota_us")  # -1 if there is none
            period = period or _read(group / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period):
                cores = min(cores, int(quota) / int(period))
        return cls(memory, max(math.ceil(cores), 1))


def _physical_memory() -> int:
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN_MEMORY


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(cgroups: Path, own_cgroups: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, in version 2 and in version 1, and of all above.

    In a container the path may be the host's, and its folder missing. The top folder then holds the container's limits.
    """
    for line in _read(own_cgroups).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = cgroups / controller if controllers else cgroups
        group = top / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
