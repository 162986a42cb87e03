"""Tests of `cli.py worker --queues` and `cli.py scheduler --list`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastapi_ignite.tasks import PERIODIC_JOBS, QUEUES
from support.command_line import CommandLine


@pytest.fixture
def commands(tmp_path: Path) -> CommandLine:
    """Return a command line without any server."""
    return CommandLine(tmp_path)


def test_an_unknown_queue_is_refused_before_anything_starts(commands: CommandLine) -> None:
    error = commands.run("worker", "--queues", "ingestion", "--queues", "embeddings").refused_with()
    assert error == f"--queues: unknown queue embeddings; must be one of {', '.join(QUEUES)}"
    assert not commands.data_dir.exists()


def test_the_periodic_jobs_are_listed_with_their_next_run(commands: CommandLine) -> None:
    header, *lines = commands.run("scheduler", "--list").succeeded().splitlines()
    assert header.split("  ")[0].strip() == "id"
    listed = {line.split()[0]: line for line in lines}
    assert listed.keys() == {job.name for job in PERIODIC_JOBS}
    for job in PERIODIC_JOBS:
        assert job.interval in listed[job.name]
        assert job.purpose
        assert job.purpose in listed[job.name]
    assert " 00:20:00 " in listed["roll_up_usage"]
    assert not commands.data_dir.exists(), "listing started a server"


def test_a_scheduler_that_is_switched_off_still_lists_and_says_so(commands: CommandLine) -> None:
    printed = commands.run("scheduler", "--list", SCHEDULER_ENABLED="false").succeeded()
    assert "find_lost_files" in printed
    assert printed.splitlines()[-1] == "SCHEDULER_ENABLED is false, so no periodic job runs."
