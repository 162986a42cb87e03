"""Tests of the supervisor as its user sees it: its children are kept running, and end with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from infra.embedded_instances import ENVIRONMENT, wait_until

from embedded_services.processes import command_of

pytestmark = pytest.mark.slow

PROGRAM = """
import sys, time
from pathlib import Path
from fastapi_ignite.infra import hung_processes, supervisor
from embedded_services import logfiles
from fastapi_ignite.infra.supervisor import ChildProcess, HungPolicy, Supervisor

def child(name, code):
    return ChildProcess(name, [sys.executable, "-c", code])

beats = 0
def heartbeat():
    global beats
    beats += 1
    print("beat", beats, flush=True)
    if beats > 1:
        raise RuntimeError("servers are ill")

"""
SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
WITH_PARENT = "from fastapi_ignite.infra.process import exit_with_parent; exit_with_parent(); " + SLEEPER
BEATS = """
import asyncio, os, time
from fastapi_ignite.infra.heartbeat import beating
async def work():
    async with beating():
        await asyncio.sleep(0.1)  # the first heartbeat is sent: a test may stop the process now
        print('pid', os.getpid(), flush=True)
        await asyncio.sleep({quiet})
        {then}
        await asyncio.sleep(60)
asyncio.run(work())
"""
BEATING = BEATS.format(quiet=60, then="")
BLOCKED = BEATS.format(quiet=1, then="time.sleep(60)")
FORKS = (
    "import os, time; pid = os.fork(); print('forked' if pid else 'worker', os.getpid(), flush=True); time.sleep(60)"
)

# An option that lets children end for longer than any test waits.
LONG_GRACE = ", stop_seconds=600"


class Stack:
    """Runs a supervisor in its own process, and reads what it has printed."""

    def __init__(self, output: Path, *children: str, options: str = "", before: str = "") -> None:
        self._output = output
        made = ", ".join(f"child({name!r}, {code!r})" for name, code in (each.split(":", 1) for each in children))
        with output.open("ab") as file:
            self.process = subprocess.Popen(  # noqa: S603  runs the interpreter of the tests
                [sys.executable, "-c", f"{PROGRAM}{before}\nsys.exit(Supervisor([{made}]{options}).run())"],
                stdout=file,
                stderr=file,
                env=ENVIRONMENT,
            )

    @property
    def printed(self) -> str:
        return self._output.read_text()

    def expect(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + 60
        while (match := re.search(pattern, self.printed)) is None:
            assert time.monotonic() < deadline, f"{pattern!r} does not come in {self.printed!r}"
            time.sleep(0.02)
        return match

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, and return the exit code. Fail if the process has not ended after a minute."""
        self.process.send_signal(number)
        return self.process.wait(60)


StartStack = Callable[..., Stack]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StartStack]:
    started: list[Stack] = []

    def start(*children: str, options: str = "", before: str = "") -> Stack:
        started.append(Stack(tmp_path / f"output-{len(started)}", *children, options=options, before=before))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        each.process.wait(60)


def is_alive(pid: int) -> bool:
    return command_of(pid) is not None


class TestRunning:
    def test_lines_are_merged_behind_aligned_names(self, stack: StartStack) -> None:
        running = stack(
            f"api:{SLEEPER}",
            "scheduler:import os, time; print(os.environ['IGNITE_SUPERVISED'], flush=True); time.sleep(60)",
        )
        running.expect(r"(?m)^api        \| up$")
        running.expect(r"(?m)^scheduler  \| 1$")
        assert "\x1b" not in running.printed

    def test_a_child_that_ends_is_started_again_with_growing_delay(self, stack: StartStack) -> None:
        running = stack(f"api:{SLEEPER}", "worker:raise SystemExit(3)")
        running.expect(r"worker ended \(exit code 3\); starting it again in 1 s")
        running.expect(r"worker ended \(exit code 3\); starting it again in 2 s")
        assert running.printed.count("| up") == 1

    def test_workers_of_a_killed_child_die_before_it_is_replaced(self, stack: StartStack) -> None:
        running = stack(f"worker:{FORKS}")
        parent, forked = int(running.expect(r"forked (\d+)")[1]), int(running.expect(r"worker (\d+)")[1])
        os.kill(parent, signal.SIGKILL)
        running.expect(r"worker ended \(signal 9, Killed\)")
        wait_until(lambda: not is_alive(forked), "the forked worker is dead")
        wait_until(lambda: running.printed.count("forked") == 2, "the child was started again")

    def test_a_program_that_is_missing_does_not_stop_the_others(self, stack: StartStack) -> None:
        running = stack(f"api:{SLEEPER}", options=" + [ChildProcess('worker', ['/no/such/program'])]")
        running.expect(r"worker cannot be started: .*; starting it again in 1 s")
        running.expect(r"api        \| up")

    def test_a_failing_heartbeat_is_told_once_and_goes_on(self, stack: StartStack) -> None:
        running = stack(f"api:{SLEEPER}", options=", heartbeat=heartbeat")
        running.expect(r"beat 4")
        assert running.printed.count("RuntimeError: servers are ill") == 1


class TestHanging:
    @pytest.fixture
    def impatient(self, stack: StartStack, tmp_path: Path) -> StartStack:
        """Return a function that starts stacks which allow 2 s of silence, and 0.5 s after the first signal."""
        policy = f", hung=HungPolicy(Path({str(tmp_path / 'beats')!r}), hung_seconds=2, start_seconds=30)"
        return partial(stack, options=policy, before="hung_processes.KILL_AFTER_SECONDS = 0.5")

    def test_a_stopped_child_is_replaced(self, impatient: StartStack) -> None:
        running = impatient(f"api:{BEATING}")
        first = int(running.expect(r"pid (\d+)")[1])
        os.kill(first, signal.SIGSTOP)
        running.expect(rf"api \(process {first}\) hangs: no heartbeat for \d s; it gets SIGTERM\n")
        running.expect(rf"api \(process {first}\) hangs: .*; it is killed with all its processes\n")
        running.expect(r"api ended \(signal 9, Killed\); starting it again in 1 s")
        running.expect(rf"pid (?!{first}\b)\d+")
        assert not is_alive(first)

    def test_one_whose_event_loop_is_blocked_ends_by_the_first_signal(self, impatient: StartStack) -> None:
        running = impatient(f"worker:{BLOCKED}", f"api:{BEATING}")
        running.expect(r"worker \(process \d+\) hangs: .*gets SIGTERM(.|\n)*worker ended \(signal 15")
        assert "api (process" not in running.printed

    def test_one_process_of_a_child_is_left_to_the_child(self, impatient: StartStack) -> None:
        forks = f"import os\nif os.fork(): print('ended', os.wait()[1], flush=True); os.fork()\n{BEATING}"
        running = impatient(f"worker:{forks}")
        hangs = int(running.expect(r"pid (\d+)")[1])
        os.kill(hangs, signal.SIGSTOP)
        running.expect(rf"worker \(process {hangs}\) hangs: .*; it is killed\n")
        running.expect("ended 9")
        running.expect(rf"pid (?!{hangs}\b)\d+")
        assert "worker ended" not in running.printed

    def test_without_a_pipe_the_children_run_all_the_same(self, stack: StartStack) -> None:
        running = stack(f"api:{BEATING}", options=", hung=HungPolicy(Path('/proc/none/beats'), 2, 30)")
        running.expect(r"cannot create /proc/none/beats \(.*\), so a child that hangs will not be replaced")
        running.expect(r"pid \d+")


def test_the_log_is_kept_small_and_no_line_is_lost(stack: StartStack, tmp_path: Path) -> None:
    chatter = f"for n in range(12000): print(f'line {{n:05}}', flush=True)\n{SLEEPER}"
    small = "logfiles.MAX_BYTES, supervisor.LOG_CHECK_BYTES = 40_000, 10_000"
    log = tmp_path / "output-0"
    running = stack(f"api:{chatter}", options=f", log_file=Path({str(log)!r})", before=small)
    running.expect(r"\| up")
    parts = sorted(tmp_path.glob("output-0*"), key=lambda part: int(part.suffix.removeprefix(".") or 0))
    assert [part.name for part in parts] == ["output-0", *(f"output-0.{number}" for number in range(1, 6))]
    assert all(part.stat().st_size < 80_000 for part in parts)
    lines = [line for part in reversed(parts) for line in re.findall(r"line \d+", part.read_text())]
    assert lines == [f"line {number:05}" for number in range(12000 - len(lines), 12000)]


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_an_idle_stack_ends_at_once(self, stack: StartStack, number: signal.Signals) -> None:
        running = stack(f"api:{SLEEPER}", f"worker:{SLEEPER}", options=LONG_GRACE)
        wait_until(lambda: running.printed.count("| up") == 2, "both are up")
        assert running.stop(number) == 0

    def test_who_does_not_end_in_time_is_killed(self, stack: StartStack) -> None:
        running = stack(f"worker:{STUBBORN}", options=", stop_seconds=0.5")
        running.expect("up")
        assert running.stop() == 1
        assert "worker did not end in time and is killed" in running.printed

    def test_a_second_signal_kills_at_once(self, stack: StartStack) -> None:
        running = stack(f"worker:{STUBBORN}", options=LONG_GRACE)
        running.expect("up")
        running.process.send_signal(signal.SIGINT)
        running.expect("stopping")
        assert running.stop(signal.SIGINT) == 1

    def test_children_end_with_a_killed_supervisor(self, stack: StartStack) -> None:
        running = stack(f"api:import os; print('pid', os.getpid(), flush=True); {WITH_PARENT}")
        child = int(running.expect(r"pid (\d+)")[1])
        running.expect("up")
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not is_alive(child), "the child noticed")

    def test_a_reader_that_goes_away_does_not_block_the_children(self, stack: StartStack, tmp_path: Path) -> None:
        done = tmp_path / "done"
        chatter = f"print('x' * 500_000, flush=True); open({str(done)!r}, 'w').close(); {SLEEPER}"
        running = stack(f"api:{chatter}", options=", output=open('/dev/full', 'wb', buffering=0)")
        wait_until(done.exists, "the child could print everything")
        assert running.stop() == 0
