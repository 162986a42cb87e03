"""The processes that read files, as the worker sees them: forked from a fork server, or programs of their own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Final, Protocol

import fastapi_ignite
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError

_FORK_SERVER: Final = (sys.executable, "-P", "-s", "-m", "fastapi_ignite.rag.extraction.fork_server")
# All parsers of one server have the same addresses and the same hash seed, which an attacker could find out.
_PARSERS_OF_A_SERVER: Final = 500
# A server that does not fork or kill in this time hangs. It loads all readers in half a second.
_SECONDS: Final = 60
_SECONDS_TO_CLOSE: Final = 2
_READ_BLOCK: Final = 256 * 1024


class Parser(Protocol):
    """A process that reads one file."""

    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    async def wait(self) -> int:
        """Return the exit status, or minus the number of the signal that ended the process."""


def parser_environment() -> dict[str, str]:
    """Return all that a parser sees of the worker's environment: no setting and no secret passes."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(fastapi_ignite.__file__).parents[1]),
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        # Each of glibc's arenas and each pool thread reserves address space, which the memory limit counts.
        "MALLOC_ARENA_MAX": "2",
        "OPENBLAS_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
    }


@asynccontextmanager
async def executed_parser(command: Sequence[str], file: IO[bytes] | None) -> AsyncGenerator[ExecutedParser]:
    """Run `command` with the file, or nothing, as its standard input. Kill it at the end if it still runs."""
    # It has a process group of its own, so that it can be killed as a whole, but not a session, which would get a share
    # of the processor as large as the worker's, whatever its niceness.
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=file or asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=parser_environment(),
        cwd="/",
        process_group=0,
    )
    parser = ExecutedParser(process)
    try:
        yield parser
    finally:
        await parser.end()


class ExecutedParser:
    """A parser that is a program of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("the parser was started without pipes")
        self.stdout, self.stderr = process.stdout, process.stderr
        self._process = process

    async def wait(self) -> int:
        return await self._process.wait()

    async def end(self) -> None:
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # asyncio learns of the end of a process only when its pipes have been read out
        for stream in (self.stdout, self.stderr):
            while await stream.read(_READ_BLOCK):
                pass
        await self._process.wait()


class ForkServerClient:
    """Runs a fork server, and replaces it when it has ended or has forked often enough."""

    def __init__(self, command: Sequence[str] = _FORK_SERVER) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._forks = 0

    def fork(self, arguments: Sequence[str], descriptors: Sequence[int], *, niceness: int) -> None:
        """Ask for a parser. `descriptors` become its standard streams, and its control socket (`fork_server.py`)."""
        message = json.dumps({"arguments": [*arguments], "niceness": niceness}).encode()
        with self._lock:
            if self._requests is None or self._forks >= _PARSERS_OF_A_SERVER:
                self._requests = self._start()
            try:
                socket.send_fds(self._requests, [message], descriptors)
            except OSError:  # it has ended, or it hangs and its queue is full
                self._requests = self._start()
                socket.send_fds(self._requests, [message], descriptors)
            self._forks += 1

    def kill(self) -> None:
        """Kill a server that hangs. Whoever waits for one of its parsers kills it then."""
        with self._lock:
            self._retire()
            for process in self._processes:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Let the server end, and wait for it."""
        with self._lock:
            self._retire()
            for process in self._processes:
                try:
                    process.wait(_SECONDS_TO_CLOSE)
                except subprocess.TimeoutExpired:  # a parser still runs, and the server ends it when this process ends
                    continue

    def _start(self) -> socket.socket:
        self._retire()
        ours, theirs = socket.socketpair()
        with theirs:
            started = subprocess.Popen(  # noqa: S603  our own program
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=parser_environment(),
                cwd="/",
                process_group=0,  # as in `executed_parser`
            )
        ours.setblocking(False)
        self._processes.append(started)
        self._forks = 0
        return ours

    def _retire(self) -> None:
        """Let the server end after its last parser."""
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        self._processes = [process for process in self._processes if process.poll() is None]


server_of_this_process = ForkServerClient()
atexit.register(server_of_this_process.close)


@asynccontextmanager
async def forked_parser(
    arguments: Sequence[str],
    file: IO[bytes],
    *,
    niceness: int = 0,
    server: ForkServerClient = server_of_this_process,
) -> AsyncGenerator[ForkedParser]:
    """Fork a parser that reads the file (`child.py`), and kill it at the end if it still runs.

    Raises:
        ExtractionError: the server could not fork, and the file may be tried again.
    """
    async with AsyncExitStack() as stack:
        ours, theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
        for end in (*ours, *theirs):
            stack.enter_context(end)
        connections = [await asyncio.open_connection(sock=end, limit=_READ_BLOCK) for end in ours]
        for _, writer in connections:
            stack.callback(writer.transport.abort)
        server.fork(arguments, [file.fileno(), *(end.fileno() for end in theirs)], niceness=niceness)
        for end in theirs:
            end.close()
        (stdout, _), (stderr, _), (control, worker_end) = connections
        process_id = await _process_id(control, server)
        parser = ForkedParser(server, process_id, control, worker_end, stdout, stderr)
        try:
            yield parser
        finally:
            await parser.end()


async def _process_id(control: asyncio.StreamReader, server: ForkServerClient) -> int:
    try:
        async with asyncio.timeout(_SECONDS):
            line = await control.readline()
    except TimeoutError:
        server.kill()
        line = b""
    if not line:  # the server was killed, or the machine had no memory or no number for another process
        raise ExtractionError(ErrorCode.EXTRACTION_CRASHED, retryable=True)
    return int(line)


class ForkedParser:
    """A parser that is a child of the fork server."""

    def __init__(
        self,
        server: ForkServerClient,
        process_id: int,
        control: asyncio.StreamReader,
        worker_end: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
    ) -> None:
        self.stdout, self.stderr = stdout, stderr
        self._server, self._process_id = server, process_id
        self._worker_end = worker_end
        self._status = asyncio.create_task(self._read_status(control))

    async def wait(self) -> int:
        return await asyncio.shield(self._status)

    async def _read_status(self, control: asyncio.StreamReader) -> int:
        line = await control.readline()
        if not line:  # the server was killed, and the parser may still run
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process_id, signal.SIGKILL)
        return int(line or -signal.SIGKILL)

    async def end(self) -> None:
        if self._status.done():
            return
        with contextlib.suppress(OSError):  # the server has ended
            self._worker_end.write_eof()
        try:
            async with asyncio.timeout(_SECONDS):
                await self.wait()
        except TimeoutError:
            self._server.kill()
            await self.wait()
