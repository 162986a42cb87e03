"""Tests that short-lived processes do not load slow libraries. `tests/test_memory.py` tests the other processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from support.command_line import ENVIRONMENT


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (
            "from fastapi_ignite.cli import build_app; build_app()",
            {"asyncio", "fastapi", "pydantic", "redis", "sqlalchemy", "httpx2"},
        ),
        (
            "import fastapi_ignite.rag.extraction.child",
            {"asyncio", "lxml", "numpy", "pydantic", "pypdfium2"},
        ),
    ],
    ids=["help of all commands", "extraction of a text"],
)
def test_what_is_not_needed_is_not_imported(code: str, heavy: set[str]) -> None:
    loaded = subprocess.run(  # noqa: S603  runs the interpreter of the tests
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        env=ENVIRONMENT | {"PYTHONPATH": str(PROJECT_ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert heavy.isdisjoint(loaded.stdout.split())
