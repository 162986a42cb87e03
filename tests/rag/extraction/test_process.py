"""The child process has limits: whatever it does, the worker gets an answer and goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.rag.extraction import ExtractedText, ExtractionError, ExtractionLimits, parser_processes
from fastapi_ignite.rag.extraction.parser_processes import ForkServerClient, forked_parser
from fastapi_ignite.rag.extraction.process import result_of
from support.executed_parsers import run_parser

Refusal = Callable[..., Awaitable[ExtractionError]]
Run = Callable[..., Coroutine[None, None, ExtractedText]]

# This program sets the limits of the real child, and then runs the code that the test gives it.
_LIMITED = """
import json, os, sys
from fastapi_ignite.rag.extraction import child
from fastapi_ignite.rag.extraction.result import ExtractionLimits
child._limit(ExtractionLimits(**json.loads(sys.argv[1])))
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    async def run_program(program: str, **bounds: float) -> ExtractedText:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        command = (sys.executable, "-P", "-c", _LIMITED + program, json.dumps(bounds))
        return await run_parser(command, path, ExtractionLimits(**bounds))  # type: ignore[arg-type]  # floats for ints

    return run_program


class Forked:
    """Reads files by a fork server that only one test uses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._client = ForkServerClient()

    async def text_of(self, text: str) -> str:
        path = self._folder / "file"
        path.write_text(text)
        with path.open("rb") as file:
            return await self._read(file, ExtractionLimits())

    async def text_of_endless_pipe(self, limits: ExtractionLimits | None = None) -> str:
        """Let a parser wait for the end of its file, which does not come."""
        source, end = os.pipe()
        with open(source, "rb") as file, open(end, "wb"):  # noqa: PTH123, ASYNC230  # descriptors, not paths
            return await self._read(file, limits or ExtractionLimits())

    async def _read(self, file: IO[bytes], limits: ExtractionLimits) -> str:
        arguments = (".txt", json.dumps(asdict(limits)))
        return (await result_of(forked_parser(arguments, file, server=self._client), limits)).text

    def servers(self) -> list[int]:
        return [process.pid for process in self._client._processes if process.poll() is None]

    async def first_parser(self) -> int:
        return (await eventually(lambda: [pid for server in self.servers() for pid in children_of(server)]))[0]

    def end(self) -> None:
        self._client.kill()


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Forked]:
    opened = Forked(tmp_path)
    yield opened
    opened.end()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def eventually(find: Callable[[], list[int]]) -> list[int]:
    """Return what `find` finds as soon as it finds something."""
    async with asyncio.timeout(60):
        while not (found := find()):  # noqa: ASYNC110  # other processes start and end, no event can tell
            await asyncio.sleep(0.01)
    return found


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def eventually_gone(processes: Sequence[int]) -> None:
    async with asyncio.timeout(60):
        while any(is_running(pid) for pid in processes):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)


async def failure(answer: Awaitable[ExtractedText | str]) -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        await answer
    return caught.value


class TestLimits:
    async def test_a_spinning_parser_runs_out_of_processor_time(self, run: Run) -> None:
        error = await failure(run("while True: pass", cpu_seconds=1))
        assert (error.code, error.retryable) == ("extraction_timeout", False)

    async def test_a_sleeping_parser_runs_out_of_wall_time(self, run: Run) -> None:
        started = time.monotonic()
        error = await failure(run("import time; time.sleep(60)", wall_seconds=0.5))
        assert (error.code, error.retryable) == ("extraction_timeout", True)
        assert time.monotonic() - started < 10

    async def test_a_greedy_parser_runs_out_of_memory(self, run: Run) -> None:
        error = await failure(run("a = bytearray(10**10)", memory_bytes=512 * 1024**2))
        assert (error.code, error.retryable) == ("too_large", False)

    async def test_a_text_larger_than_the_memory(self, refusal: Refusal) -> None:
        limits = ExtractionLimits(memory_bytes=256 * 1024**2)
        assert (await refusal(b"words of text " * 10_000_000, "a.txt", limits)).code == "too_large"

    async def test_a_parser_killed_from_outside_may_be_tried_again(self, run: Run) -> None:
        error = await failure(run("os.kill(os.getpid(), 9)"))
        assert (error.code, error.retryable) == ("extraction_crashed", True)

    async def test_a_crash_comes_again(self, run: Run) -> None:
        error = await failure(run("os.kill(os.getpid(), 11)"))
        assert (error.code, error.retryable) == ("extraction_crashed", False)

    async def test_an_endless_answer_is_cut_off(self, run: Run) -> None:
        error = await failure(run("while True: os.write(1, b'x' * 65536)", max_characters=1000))
        assert error.code == "too_many_characters"

    async def test_endless_complaints_do_not_stop_it(self, run: Run) -> None:
        header = json.dumps({"media_type": "text/plain", "page_starts": None, "spans": [], "bytes": 2})
        program = f"[os.write(2, b'e' * 65536) for _ in range(200)]; os.write(1, {header.encode()!r} + b'\\nok')"
        assert (await run(program)).text == "ok"

    @pytest.mark.parametrize("answer", [b"", b"nonsense", b"{}\n", b'{"bytes": 9, "page_starts": null}\nshort'])
    async def test_a_garbled_answer_is_a_crash(self, run: Run, answer: bytes) -> None:
        assert (await failure(run(f"os.write(1, {answer!r})"))).code == "extraction_crashed"


class TestIsolation:
    async def test_the_environment_holds_no_secret(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        program = """
names = json.dumps(sorted(os.environ)).encode()
print(json.dumps({"media_type": "text/plain", "page_starts": None, "spans": [], "bytes": len(names)}), flush=True)
os.write(1, names)
"""
        allowed = {"PATH", "PYTHONPATH", "LANG", "LC_CTYPE", "PYTHONUTF8"}
        allowed |= {"MALLOC_ARENA_MAX", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"}
        assert set(json.loads((await run(program)).text)) <= allowed

    async def test_a_cancelled_call_ends_the_child(self, run: Run, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        # A link is created atomically.
        program = f"import time; os.symlink(str(os.getpid()), {str(note)!r}); time.sleep(60)"
        task = asyncio.create_task(run(program))
        async with asyncio.timeout(60):
            while not note.is_symlink():  # noqa: ASYNC110 - another process sets it, no event can
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ProcessLookupError):
            os.kill(int(str(note.readlink())), 0)

    async def test_the_event_loop_keeps_turning(self, read: Run) -> None:
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - before)

        watcher = asyncio.create_task(watch())
        await read("Größe ".encode() * 500_000, "big.txt")
        watcher.cancel()
        assert longest < 1


class TestForkServer:
    """Parsers are forked from a server that has loaded the code of all readers."""

    async def test_one_server_forks_all_parsers(self, forked: Forked) -> None:
        assert (await forked.text_of("one"), await forked.text_of("two")) == ("one", "two")
        assert len(forked.servers()) == 1

    async def test_it_has_one_thread_when_it_forks(self, forked: Forked) -> None:
        """Threads do not survive a fork, and the locks that they hold stay locked."""
        await forked.text_of("one")
        (server,) = forked.servers()
        assert len(os.listdir(f"/proc/{server}/task")) == 1  # noqa: PTH208  # /proc answers at once

    async def test_it_is_replaced_after_many_parsers(self, forked: Forked, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parser_processes, "_PARSERS_OF_A_SERVER", 1)
        await forked.text_of("one")
        first = forked.servers()
        await forked.text_of("two")
        await eventually_gone(first)
        assert len(forked.servers()) == 1

    async def test_after_it_was_killed_another_one_is_started(self, forked: Forked) -> None:
        await forked.text_of("one")
        (server,) = forked.servers()
        os.kill(server, signal.SIGKILL)
        await eventually_gone([server])
        assert await forked.text_of("two") == "two"

    async def test_if_it_is_killed_its_files_may_be_tried_again_and_their_parsers_end(self, forked: Forked) -> None:
        reading = asyncio.create_task(forked.text_of_endless_pipe())
        parser = await forked.first_parser()
        (server,) = forked.servers()
        os.kill(server, signal.SIGKILL)
        error = await failure(reading)
        assert (error.code, error.retryable) == ("extraction_crashed", True)
        await eventually_gone([parser])

    async def test_if_it_hangs_it_is_replaced(self, forked: Forked, monkeypatch: pytest.MonkeyPatch) -> None:
        await forked.text_of("one")
        (server,) = forked.servers()
        os.kill(server, signal.SIGSTOP)
        monkeypatch.setattr(parser_processes, "_SECONDS", 0.3)
        error = await failure(forked.text_of("two"))
        assert (error.code, error.retryable) == ("extraction_crashed", True)
        monkeypatch.undo()
        assert await forked.text_of("three") == "three"

    async def test_a_cancelled_call_ends_the_parser(self, forked: Forked) -> None:
        reading = asyncio.create_task(forked.text_of_endless_pipe())
        parser = await forked.first_parser()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await eventually_gone([parser])

    async def test_a_parser_that_takes_too_long_ends(self, forked: Forked) -> None:
        reading = asyncio.create_task(forked.text_of_endless_pipe(ExtractionLimits(wall_seconds=0.5)))
        parser = await forked.first_parser()
        error = await failure(reading)
        assert (error.code, error.retryable) == ("extraction_timeout", True)
        await eventually_gone([parser])

    async def test_when_the_worker_is_killed_nothing_is_left(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        program = (
            "import asyncio, sys; from pathlib import Path; from fastapi_ignite.rag.extraction.process import extract; "
            "asyncio.run(extract(Path(sys.argv[1]), filename='a.txt'))"
        )
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(tmp_path / "pipe")), env={"PYTHONPATH": str(PROJECT_ROOT / "src")}
        )
        with (tmp_path / "pipe").open("wb"):  # the parser waits for its end
            (server,) = await eventually(lambda: children_of(worker.pid))
            parsers = await eventually(lambda: children_of(server))
            worker.kill()
            await worker.wait()
            await eventually_gone([server, *parsers])
