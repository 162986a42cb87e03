"""A small file system that a test may fill to the last byte; only root can mount one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTES = 1200


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """Yield a folder, and whether it is a file system of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ignite-chaos-"))
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder))
    folder.chmod(0o711)
    try:
        yield folder, mounted
    finally:
        if mounted:
            _run("umount", "--lazy", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603  written above
    except OSError:
        return False
