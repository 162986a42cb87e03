"""Tests of docs/cli.md: its commands work, and it names the commands and variables that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from support.doc_pages import BLOCK
from support.running_stack import RunningStack

PAGE = (PROJECT_ROOT / "docs" / "cli.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_command_of_the_page_succeeds(api_stack: RunningStack) -> None:
    blocks = [match["text"] for match in BLOCK.finditer(PAGE) if match["language"] == "bash"]
    assert len(blocks) == 4
    script = "\n".join(blocks).replace("python cli.py ingest", "ingest")  # the samples hold a scanned page, which fails
    environment = api_stack.commands.environment
    finished = subprocess.run(  # noqa: S603  # the commands of the page
        ["bash", "-euc", f'ingest() {{ python cli.py ingest "$@" --quiet || [ $? = 1 ]; }}\n{script}'],  # noqa: S607
        cwd=PROJECT_ROOT,
        env=environment | {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Full-time employees get 28 days of paid leave each year" in finished.stdout
    assert not re.search("Traceback|error: ", finished.stderr), finished.stderr


def test_the_page_says_how_each_shell_completes() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert f"python cli.py completion {shell}" in PAGE
