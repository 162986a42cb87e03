"""Tests of `cli.py logs` on the log that a stack in the background appends to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from support.command_line import CommandLine

DEVELOPMENT = """\
Starting http://127.0.0.1:8000 (API pages: http://127.0.0.1:8000/api/docs)
api        | 2026-12-01T05:00:00Z [info     ] request                        [fastapi_ignite.access] status=200
worker     | 2026-12-01T05:00:01Z [error    ] file attempt failed            [fastapi_ignite.ingestion] attempt=1
worker     | Traceback (most recent call last):
api        | 2026-12-01T05:00:02Z [warning  ] a server is away               [fastapi_ignite.http] code=unavailable
supervisor | worker (process 12) ended with code 1; it starts again in 1 s
"""
PRODUCTION = """\
api        | {"event": "request", "level": "info", "status": 200}
api        | {"event": "a request failed", "level": "error", "status": 500}
"""


@pytest.fixture
def commands(tmp_path: Path) -> CommandLine:
    """Return a command line whose data folder has the log of a stack."""
    made = CommandLine(tmp_path)
    log_of(made).parent.mkdir(parents=True)
    log_of(made).write_text(DEVELOPMENT)
    return made


def log_of(commands: CommandLine) -> Path:
    return commands.data_dir / "logs" / "up.log"


def test_it_prints_the_last_lines(commands: CommandLine) -> None:
    lines = commands.run("logs", "-n", "2").succeeded().splitlines()
    assert lines == DEVELOPMENT.splitlines()[-2:]
    assert commands.run("logs", "-n", "0").succeeded() == ""


def test_lines_of_one_process_and_from_a_level_on(commands: CommandLine) -> None:
    graver = commands.run("logs", "--level", "WARNING").succeeded().splitlines()
    assert [line.split()[0] for line in graver] == ["worker", "worker", "api"], "a traceback has the level of its line"
    both = commands.run("logs", "--process", "api", "--process", "worker", "--level", "error").succeeded()
    assert [line.split()[0] for line in both.splitlines()] == ["worker", "worker"]


def test_lines_of_production_have_their_level_too(commands: CommandLine) -> None:
    log_of(commands).write_text(PRODUCTION)
    [line] = commands.run("logs", "--level", "error", "--json").succeeded().splitlines()
    shown = json.loads(line)
    assert (shown["process"], shown["level"]) == ("api", "error")
    assert json.loads(shown["text"])["status"] == 500


def test_lines_that_were_put_aside_come_before_the_newest(commands: CommandLine) -> None:
    log_of(commands).with_name("up.log.1").write_text("api        | earlier\n")
    assert commands.run("logs").succeeded().splitlines()[0] == "api        | earlier"


@pytest.fixture
def following(commands: CommandLine) -> Iterator[Popen[str]]:
    """Return `logs --follow`, which has printed the last line of the log."""
    running = commands.start("logs", "--follow", "-n", "1")
    assert running.stdout is not None
    assert running.stdout.readline().startswith("supervisor | ")
    yield running
    running.kill()
    running.communicate()


def test_it_follows_a_log_that_grows_and_one_that_begins_anew(commands: CommandLine, following: Popen[str]) -> None:
    assert following.stdout is not None
    with log_of(commands).open("a") as log:
        log.write("api        | half of ")
        log.flush()
        log.write("a line\napi        | the next\n")
    assert following.stdout.readline() == "api        | half of a line\n"
    assert following.stdout.readline() == "api        | the next\n"
    os.truncate(log_of(commands), 0)  # as a log is put aside when it is large
    with log_of(commands).open("a") as log:
        log.write("api        | anew\n")
    assert following.stdout.readline() == "api        | anew\n"


class TestRefused:
    def test_a_stack_that_never_ran_in_the_background(self, tmp_path: Path) -> None:
        assert "There is no log at " in CommandLine(tmp_path).run("logs").refused_with()

    def test_an_unknown_level(self, commands: CommandLine) -> None:
        refused = commands.run("logs", "--level", "loud").refused_with()
        assert refused == "--level must be one of debug, info, warning, error, critical."
