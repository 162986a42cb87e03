"""Tests that the committed pages about settings and jobs are current."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fastapi_ignite.cli import build_app
from fastapi_ignite.core.config import PROJECT_ROOT, load_settings


@pytest.mark.parametrize(
    ("command", "path"),
    [("settings --format env", ".env.example"), ("settings", "docs/configuration.md"), ("jobs", "docs/jobs.md")],
)
def test_committed_files_are_what_the_command_prints(command: str, path: str) -> None:
    name, *options = command.split()
    printed = CliRunner().invoke(build_app(name), [name, *options]).stdout
    assert (PROJECT_ROOT / path).read_text() == printed, "run 'make pages'"


def test_a_copied_example_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ENV", "DEBUG", "POSTGRES_HOST", "DATABASE_URL", "REDIS_HOST", "REDIS_URL", "JWT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    copied = tmp_path / ".env"
    copied.write_text((PROJECT_ROOT / ".env.example").read_text())
    assert load_settings(env_file=copied) == load_settings(env_file=None)
