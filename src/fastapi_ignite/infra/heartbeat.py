"""Signs of life: each process of a stack tells its supervisor, once a second, that its work goes on.

They go through a named pipe in the folder of the stack. Redis may be away and the disk full: a pipe needs neither. It
is found by its path, so that processes which a child starts by whatever means can use it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

BEAT_SECONDS = 1.0
PIPE_VARIABLE = "IGNITE_HEARTBEAT_PIPE"

_WORKING, _ENDING = 1, 0
# of one size, and written at once: a read holds whole ones only
_MESSAGE = struct.Struct("=iI")
_READ_BYTES = _MESSAGE.size * 8192


class HeartbeatPipe:
    """The supervisor's end of the pipe."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        os.mkfifo(self.path, 0o600)
        # for writing too: a pipe that only readers have open is always at its end
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def read(self) -> list[tuple[int, bool]]:
        """Each sign of life since the last call: the number of the process, and whether it goes on working."""
        signs: list[tuple[int, bool]] = []
        while True:
            try:
                received = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return signs
            whole = received[: len(received) // _MESSAGE.size * _MESSAGE.size]
            signs += [(pid, kind == _WORKING) for pid, kind in _MESSAGE.iter_unpack(whole)]
            if len(received) < _READ_BYTES:
                return signs

    def close(self) -> None:
        """Remove the pipe."""
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)


class Heartbeat:
    """The end of a process that works. Nothing happens where no supervisor listens."""

    def __init__(self) -> None:
        path = os.environ.get(PIPE_VARIABLE)
        self._descriptor: int | None = None
        if path:
            with contextlib.suppress(OSError):  # the supervisor has gone, and this process will follow it
                self._descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def beat(self) -> None:
        """Say that the work goes on; never waits. Call it from what does the work, not from a thread beside it."""
        self._tell(_WORKING)

    def end(self) -> None:
        """Say that no more beats will come, because this process stops in order."""
        self._tell(_ENDING)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _tell(self, kind: int) -> None:
        if self._descriptor is not None:
            # full while the supervisor stands still; without a reader once it has gone
            with contextlib.suppress(OSError):
                os.write(self._descriptor, _MESSAGE.pack(os.getpid(), kind))


@contextlib.asynccontextmanager
async def beating(works: Callable[[], bool] = lambda: True) -> AsyncGenerator[None]:
    """While the block runs, this event loop beats once a second as long as `works()` says so."""
    heartbeat = Heartbeat()
    task = asyncio.create_task(_beat(heartbeat, works), name="heartbeat")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        heartbeat.end()


async def _beat(heartbeat: Heartbeat, works: Callable[[], bool]) -> None:
    while True:
        if works():
            heartbeat.beat()
        await asyncio.sleep(BEAT_SECONDS)
