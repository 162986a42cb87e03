"""Find processes below a supervisor that have sent no heartbeat for too long, and decide how to end each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from fastapi_ignite.infra.heartbeat import HeartbeatPipe

# At most this much silence is added at a check. If the supervisor itself was stopped (a suspended laptop, an overloaded
# machine, a stopped terminal), the other processes were too, and the heartbeats in the pipe are read first.
MAX_INTERVAL_SECONDS = 1.0
KILL_AFTER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """A step ends a process: it sends this signal, or kills the whole process group."""

    pid: int
    group: int
    silent_seconds: float
    number: signal.Signals
    whole_group: bool = False


@dataclass(slots=True)
class _Silence:
    """Counts how long a process has been silent, and the steps taken since its last heartbeat."""

    group: int
    seconds: float = 0
    steps: int = 0


class HungProcesses:
    """Watches every process of the groups. API workers and worker processes send their own heartbeats.

    A process is watched from its first heartbeat until its ending message. A group without a watched process is
    starting or stopping, and may take `start_seconds` for that.
    """

    def __init__(
        self,
        pipe: HeartbeatPipe,
        *,
        hung_seconds: float,
        start_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipe = pipe
        self._hung_seconds = hung_seconds
        self._start_seconds = start_seconds
        self._clock = clock
        self._checked_at = clock()
        self._processes: dict[int, _Silence] = {}
        self._groups: dict[int, _Silence] = {}

    def check(self, groups: Collection[int]) -> list[Step]:
        """Return the steps to take now. Call this several times a second; `groups` are the pids of the leaders."""
        now = self._clock()
        elapsed, self._checked_at = min(now - self._checked_at, MAX_INTERVAL_SECONDS), now
        self._read_heartbeats()
        self._processes = {
            pid: silence
            for pid, silence in self._processes.items()
            if silence.group in groups and _group_of(pid) == silence.group
        }
        self._groups = {group: self._groups.get(group, _Silence(group)) for group in groups}
        at_work = {silence.group for silence in self._processes.values()}
        for group in at_work:
            self._groups[group] = _Silence(group)
        return [
            *(step for pid, silence in self._processes.items() for step in self._next(pid, silence, elapsed)),
            *(
                step
                for group, silence in self._groups.items()
                if group not in at_work
                for step in self._next(group, silence, elapsed)
            ),
        ]

    def _read_heartbeats(self) -> None:
        for pid, works in self._pipe.read():
            self._processes.pop(pid, None)
            group = _group_of(pid)
            if works and group is not None:
                self._processes[pid] = _Silence(group)

    def _next(self, pid: int, silence: _Silence, elapsed: float) -> Iterator[Step]:
        """Send SIGTERM, then SIGKILL. If the process is still there, kill its whole group."""
        silence.seconds += elapsed
        patience = self._start_seconds if silence is self._groups.get(pid) else self._hung_seconds
        if silence.seconds < patience + silence.steps * KILL_AFTER_SECONDS:
            return
        silence.steps += 1
        number = signal.SIGTERM if silence.steps == 1 else signal.SIGKILL
        alone = silence.steps == 1 or (silence.steps == 2 and pid != silence.group)  # noqa: PLR2004  the second step
        yield Step(pid, silence.group, silence.seconds, number, whole_group=not alone)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None
