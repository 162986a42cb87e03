"""What a process must not load: seconds of a user's time, and memory for as long as it runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from support.command_line import ENVIRONMENT

ENGINES = {"numpy", "onnxruntime", "openai"}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("from fastapi_ignite.cli import build_app; build_app()", {*ENGINES, "uvicorn", "fastapi", "apscheduler"}),
        ("import fastapi_ignite.scheduler", ENGINES),
        ("import fastapi_ignite.main, fastapi_ignite.worker", ENGINES),
        ("import fastapi_ignite.rag.extraction.child", {"asyncio", "kreuzberg", "pydantic"}),
    ],
    ids=["help of all commands", "scheduler", "API and worker without an engine", "extraction of a text"],
)
def test_what_is_not_needed_is_not_imported(code: str, heavy: set[str]) -> None:
    loaded = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        env=ENVIRONMENT | {"PYTHONPATH": str(PROJECT_ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert heavy.isdisjoint(loaded.stdout.split())
