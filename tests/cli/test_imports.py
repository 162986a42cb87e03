"""Tests that short-lived processes do not load slow libraries. `tests/test_memory.py` tests the other processes."""

from __future__ import annotations

import subprocess
import sys

from fastapi_ignite.core.config import PROJECT_ROOT
from support.command_line import ENVIRONMENT


def test_the_help_of_all_commands_loads_no_slow_library() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "from fastapi_ignite.cli import build_app; build_app()\nimport sys; print(*sys.modules)",
        ],
        env=ENVIRONMENT | {"PYTHONPATH": str(PROJECT_ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"asyncio", "fastapi", "pydantic", "redis", "sqlalchemy", "httpx2"}.isdisjoint(loaded.stdout.split())
