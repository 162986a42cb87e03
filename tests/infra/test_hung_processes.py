"""Tests of when a process counts as hung and of what is done then, with real processes and a clock of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastapi_ignite.infra.heartbeat import PIPE_VARIABLE, HeartbeatPipe
from fastapi_ignite.infra.hung_processes import HungProcesses, Step
from infra.embedded_instances import ENVIRONMENT

HUNG_SECONDS, START_SECONDS = 30, 180
# Sends the heartbeat that each line on stdin names. With `fork`, a child process sends it.
CHILD = """
import os, sys
from fastapi_ignite.infra.heartbeat import Heartbeat
if "fork" in sys.argv and (forked := os.fork()):
    print(forked, flush=True)
    os.waitpid(forked, 0)
    sys.stdin.read()
    sys.exit()
heart = Heartbeat()
for line in iter(sys.stdin.readline, ""):
    getattr(heart, line.strip())()
    print(line, end="", flush=True)
"""


class Child:
    """Runs a process in its own group, as the supervisor does."""

    def __init__(self, pipe: HeartbeatPipe, *options: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603  runs the interpreter of the tests
            [sys.executable, "-c", CHILD, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | {PIPE_VARIABLE: str(pipe.path)},
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.forked = int(self._answer()) if options else self.pid

    def send(self, sign: str) -> None:
        """Make the process send `beat` or `end`."""
        assert self.process.stdin
        self.process.stdin.write(f"{sign}\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()


class Watch:
    """Checks for hung processes four times in each second of a clock that the test moves."""

    def __init__(self, pipe: HeartbeatPipe, *groups: int) -> None:
        self.now = 0.0
        self.groups = groups
        self._hung = HungProcesses(pipe, hung_seconds=HUNG_SECONDS, start_seconds=START_SECONDS, clock=lambda: self.now)

    def after(self, seconds: float) -> list[Step]:
        """Move the clock, check meanwhile, and return all steps that became due."""
        steps: list[Step] = []
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            steps += self._hung.check(self.groups)
        return steps

    def after_jump(self, seconds: float) -> list[Step]:
        """Move the clock in one jump, check once, and return the steps that are due."""
        self.now += seconds
        return self._hung.check(self.groups)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[HeartbeatPipe]:
    made = HeartbeatPipe(tmp_path / "run" / "heartbeats")
    yield made
    made.close()
    assert not made.path.exists()


@pytest.fixture
def child(pipe: HeartbeatPipe) -> Iterator[Child]:
    started = Child(pipe)
    yield started
    started.process.kill()
    started.process.communicate()


def actions(steps: list[Step]) -> list[tuple[int, signal.Signals, bool]]:
    return [(step.pid, step.number, step.whole_group) for step in steps]


def test_a_silent_process_is_told_to_end_and_then_killed(pipe: HeartbeatPipe, child: Child) -> None:
    watch = Watch(pipe, child.pid)
    child.send("beat")
    assert watch.after(HUNG_SECONDS - 1) == []
    told, killed = watch.after(8)
    assert actions([told, killed]) == [(child.pid, signal.SIGTERM, False), (child.pid, signal.SIGKILL, True)]
    assert HUNG_SECONDS <= told.silent_seconds < killed.silent_seconds < HUNG_SECONDS + 6


def test_each_beat_begins_anew(pipe: HeartbeatPipe, child: Child) -> None:
    watch = Watch(pipe, child.pid)
    for _ in range(4):
        child.send("beat")
        assert watch.after(HUNG_SECONDS - 1) == []
    assert len(watch.after(2)) == 1
    child.send("beat")
    assert watch.after(HUNG_SECONDS - 1) == []


def test_time_in_which_the_supervisor_stood_still_does_not_count(pipe: HeartbeatPipe, child: Child) -> None:
    """While a laptop sleeps or a terminal job is stopped, nobody can send heartbeats or nobody can read them."""
    watch = Watch(pipe, child.pid)
    child.send("beat")
    assert watch.after(5) == []
    for _ in range(HUNG_SECONDS - 10):
        assert watch.after_jump(3600) == []
    assert len(watch.after(HUNG_SECONDS)) > 0


def test_a_full_pipe_stops_nobody_and_is_read_whole(pipe: HeartbeatPipe, child: Child) -> None:
    """The supervisor is stopped while its children continue."""
    capacity = 65536 // 8
    writer = os.open(pipe.path, os.O_WRONLY | os.O_NONBLOCK)
    for _ in range(capacity):
        os.write(writer, b"\0" * 8)
    with pytest.raises(BlockingIOError):
        os.write(writer, b"\0" * 8)
    os.close(writer)
    child.send("beat")
    assert len(pipe.read()) == capacity
    child.send("beat")
    assert pipe.read() == [(child.pid, True)]


def test_one_that_starts_or_stops_in_order_has_more_time(pipe: HeartbeatPipe, child: Child) -> None:
    watch = Watch(pipe, child.pid)
    assert watch.after(START_SECONDS - 1) == []
    child.send("beat")
    assert watch.after(1) == []
    child.send("end")
    assert watch.after(START_SECONDS - 2) == []
    assert actions(watch.after(3)) == [(child.pid, signal.SIGTERM, False)]


def test_one_process_of_several_is_ended_alone_before_all_are(pipe: HeartbeatPipe) -> None:
    """An example is a worker of the API: its parent replaces it, unless the parent hangs too."""
    child = Child(pipe, "fork")
    try:
        watch = Watch(pipe, child.pid)
        child.send("beat")
        steps = watch.after(HUNG_SECONDS + 12)
        assert actions(steps) == [
            (child.forked, signal.SIGTERM, False),
            (child.forked, signal.SIGKILL, False),
            (child.forked, signal.SIGKILL, True),
        ]
        assert {step.group for step in steps} == {child.pid}
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.process.communicate()


def test_a_process_that_has_gone_and_one_of_somebody_else_are_no_concern(pipe: HeartbeatPipe, child: Child) -> None:
    stranger = Child(pipe)
    watch = Watch(pipe, child.pid)
    for each in (child, stranger):
        each.send("beat")
    assert watch.after(1) == []
    stranger.process.kill()
    stranger.process.communicate()
    watch.groups = ()
    assert watch.after(2 * HUNG_SECONDS) == []
