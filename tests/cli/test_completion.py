"""Tests that shells complete commands and options, each with the script that `cli.py completion` prints for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from support.command_line import ENVIRONMENT, CommandLine

# What a shell does after Tab, with the words of the line so far; it prints what it would offer.
TAB = {
    "bash": """
        source {script}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _fastapi_ignite
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    "zsh": """
        compdef() {{ }}; source {script}; _arguments() {{ print -r -- "$@" }}
        words=({line}); CURRENT=$#words; _fastapi_ignite
    """,
    "fish": "source {script}; complete --do-complete '{line}'",
}
WITHOUT_CONFIGURATION = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}
PYTHON = f"{sys.executable} {PROJECT_ROOT}/cli.py"


@pytest.mark.parametrize("shell", TAB)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (f"{PYTHON} ing", "ingest"),
        (f"{PYTHON} projects li", "list"),
        (f"{PYTHON} ingest --para", "--parallel"),
        (f"{PYTHON} completion fi", "fish"),
        (f"{PROJECT_ROOT}/cli.py ing", "ingest"),
    ],
)
def test_a_shell_completes_commands_and_options(tmp_path: Path, shell: str, line: str, offered: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / f"completion.{shell}"
    script.write_text(CommandLine(tmp_path).run("completion", shell).succeeded())
    path = f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}"  # cli.py runs with the python that is found first
    finished = subprocess.run(  # noqa: S603  # the script that is tested
        [shell, WITHOUT_CONFIGURATION[shell], "-c", TAB[shell].format(script=script, line=line)],
        env=ENVIRONMENT | {"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert offered in finished.stdout.replace('"', " ").split(), finished
    assert "tests" not in finished.stdout.split(), "files are offered instead"


def test_another_script_of_python_is_left_alone(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(CommandLine(tmp_path).run("completion", "bash").succeeded())
    finished = subprocess.run(  # noqa: S603  # the script that is tested
        ["bash", "--norc", "-c", TAB["bash"].format(script=script, line="python manage.py ing")],  # noqa: S607
        env=ENVIRONMENT | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip() == ""
