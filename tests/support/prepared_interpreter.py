"""A Python process that has already imported the program; each command runs in a fork of it, which saves a second.

A command is a process of its own, with its own session, folder, environment, standard streams and exit code; it
executes `cli.py` as `python cli.py` does. The only difference is that the modules are already imported. Tests of what
depends on a fresh interpreter (`up` and its child processes, imports, memory) start a fresh one.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import runpy
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = Path(__file__).parents[2] / "cli.py"
STREAMS = {"stdin": os.O_RDONLY, "stdout": os.O_WRONLY, "stderr": os.O_WRONLY}
# Most commands need these modules. The commands that need an engine import its modules themselves.
LIBRARIES = ("alembic.command", "asyncpg", "fastapi_ignite.main", "sqlalchemy.dialects.postgresql.asyncpg")


class PreparedInterpreter:
    """Runs one command at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        atexit.register(self._stop)

    def run(
        self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: str, seconds: float
    ) -> tuple[int, str, str]:
        """Return exit code, output and error output of `cli.py` with these arguments.

        Raises:
            TimeoutError: the command has not ended in time; no further command can be run.
        """
        with tempfile.TemporaryDirectory(prefix="ignite-command-") as made:
            streams = {name: Path(made) / name for name in STREAMS}
            for path in streams.values():
                path.write_text(stdin if path.name == "stdin" else "")
            asked = {"arguments": [*arguments], "folder": str(folder), "environment": dict(environment)}
            code = self._ask(asked | {name: str(path) for name, path in streams.items()}, seconds)
            return code, streams["stdout"].read_text(), streams["stderr"].read_text()

    def _ask(self, command: dict[str, Any], seconds: float) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self._stop()
            raise TimeoutError(f"{command['arguments']} has not ended in {seconds} s")
        return int(self._process.stdout.readline())

    def _stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@cache
def prepared_interpreter(**environment: str) -> PreparedInterpreter:
    """Return the prepared interpreter of this process; the first call starts it."""
    return PreparedInterpreter(environment)


def _serve() -> None:
    sys.path[0] = str(PROGRAM.parent / "src")
    package = importlib.import_module("fastapi_ignite.cli")
    for name in (
        *LIBRARIES,
        *(f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)),
    ):
        if not name.endswith("__main__"):
            importlib.import_module(name)
    while line := sys.stdin.buffer.readline():
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _execute(command)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


def _execute(command: dict[str, Any]) -> NoReturn:
    """Run the command in this forked process, and end the process as the command ends."""
    os.setsid()
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    for number, (name, flags) in enumerate(STREAMS.items()):
        opened = os.open(command[name], flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    sys.argv = [str(PROGRAM), *command["arguments"]]
    runpy.run_path(str(PROGRAM), run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    _serve()
