"""Tests of single flight between processes, and of processes that die or hang while they load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from fastapi_ignite.infra.services import ServiceAddresses
from infra.cache.processes import CROWD, Program


class SharedBackend:
    """Names a backend that processes share, and the journal of the processes that ran the function."""

    def __init__(self, place: str, namespace: str, journal: Path) -> None:
        self.place, self.namespace, self.journal = place, namespace, journal

    def runs(self) -> int:
        return len(self.journal.read_text().splitlines())


@pytest.fixture(params=["redis", "file"])
def shared_backend(request: pytest.FixtureRequest, addresses: ServiceAddresses, tmp_path: Path) -> SharedBackend:
    if request.param == "redis":
        return SharedBackend(addresses.redis_url, uuid4().hex, tmp_path / "journal")
    return SharedBackend(str(tmp_path / "cache"), str(2**24), tmp_path / "journal")


@pytest.fixture
def start(shared_backend: SharedBackend) -> Iterator[Callable[..., Program]]:
    """Return a function that starts a process and waits until it is ready to make its calls."""
    programs: list[Program] = []

    def start(*, callers: int, seconds: float, lock_seconds: float = 60) -> Program:
        program = Program(
            CROWD,
            shared_backend.place,
            shared_backend.namespace,
            shared_backend.journal,
            callers,
            seconds,
            lock_seconds,
        )
        programs.append(program)
        assert program.line() == "ready"
        return program

    yield start
    for program in programs:
        program.kill()


def test_five_hundred_callers_in_two_processes_run_the_function_once(
    shared_backend: SharedBackend, start: Callable[..., Program]
) -> None:
    crowds = [start(callers=250, seconds=0.3) for _ in range(2)]
    for crowd in crowds:
        crowd.go()
    lines = [line for crowd in crowds for line in iter(crowd.line, "")]
    assert shared_backend.runs() == 1
    assert lines.count("loading") == 1
    values = [line for line in lines if line != "loading"]
    assert len(values) == 2
    assert len(set(values)) == 1, "both processes were given the one result"


def test_when_the_process_at_work_dies_one_other_takes_over(
    shared_backend: SharedBackend, start: Callable[..., Program]
) -> None:
    leader = start(callers=3, seconds=1000, lock_seconds=1.5)
    waiting = [start(callers=50, seconds=0.2, lock_seconds=1.5) for _ in range(2)]
    leader.go()
    assert leader.line() == "loading"
    for crowd in waiting:
        crowd.go()
    leader.kill()
    lines = [line for crowd in waiting for line in iter(crowd.line, "")]
    assert shared_backend.runs() == 2, "the dead one, and one of the two that waited"
    assert lines.count("loading") == 1
    assert len({line for line in lines if line != "loading"}) == 1


def test_nobody_waits_for_ever_for_a_process_that_hangs(
    shared_backend: SharedBackend, start: Callable[..., Program]
) -> None:
    hanging = start(callers=1, seconds=1000, lock_seconds=0.2)
    waiting = start(callers=50, seconds=0, lock_seconds=0.2)
    hanging.go()
    assert hanging.line() == "loading"
    waiting.go()
    assert waiting.line() == "loading"
    assert waiting.line().isdigit()
    assert shared_backend.runs() == 2
