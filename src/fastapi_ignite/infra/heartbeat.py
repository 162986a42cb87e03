"""Heartbeats: once a second each process of a stack tells its supervisor that it still works.

They use a named pipe in the folder of the stack, because a pipe works while Redis is away and the disk is full. Any
process below a child can open it by its path, however it was started.
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
# all messages have one size and are written atomically, so a read returns whole messages
_MESSAGE = struct.Struct("=iI")
_READ_BYTES = _MESSAGE.size * 8192


class HeartbeatPipe:
    """The end of the pipe from which the supervisor reads."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        os.mkfifo(self.path, 0o600)
        # also for writing, because a pipe without a writer is always at its end
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def read(self) -> list[tuple[int, bool]]:
        """Return the messages since the last call: the process id, and whether the process still works."""
        messages: list[tuple[int, bool]] = []
        while True:
            try:
                received = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return messages
            whole = received[: len(received) // _MESSAGE.size * _MESSAGE.size]
            messages += [(pid, kind == _WORKING) for pid, kind in _MESSAGE.iter_unpack(whole)]
            if len(received) < _READ_BYTES:
                return messages

    def close(self) -> None:
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)


class Heartbeat:
    """The end of the pipe to which a process writes. Without a supervisor its methods do nothing."""

    def __init__(self) -> None:
        path = os.environ.get(PIPE_VARIABLE)
        self._descriptor: int | None = None
        if path:
            with contextlib.suppress(OSError):  # the supervisor has ended, and this process will end too
                self._descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def beat(self) -> None:
        """Report that the process works. It never blocks. Call it from the working code, not from a separate thread."""
        self._write(_WORKING)

    def end(self) -> None:
        """Report that no more heartbeats will follow, because this process is stopping normally."""
        self._write(_ENDING)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, kind: int) -> None:
        if self._descriptor is not None:
            # the pipe is full while the supervisor is suspended, and has no reader once it has ended
            with contextlib.suppress(OSError):
                os.write(self._descriptor, _MESSAGE.pack(os.getpid(), kind))


@contextlib.asynccontextmanager
async def beating(is_working: Callable[[], bool] = lambda: True) -> AsyncGenerator[None]:
    """Send a heartbeat from this event loop every second while the block runs and `is_working()` returns True."""
    heartbeat = Heartbeat()
    task = asyncio.create_task(_beat(heartbeat, is_working), name="heartbeat")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        heartbeat.end()


async def _beat(heartbeat: Heartbeat, is_working: Callable[[], bool]) -> None:
    while True:
        if is_working():
            heartbeat.beat()
        await asyncio.sleep(BEAT_SECONDS)
