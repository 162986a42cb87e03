"""The child process has limits: whatever it does, the worker gets an answer and goes on."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import pytest

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.rag.extraction import ExtractedText, ExtractionError, ExtractionLimits
from fastapi_ignite.rag.extraction.process import run_child

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
        return await run_child(command, path, ExtractionLimits(**bounds))  # type: ignore[arg-type]  # floats for ints

    return run_program


async def failure(answer: Awaitable[ExtractedText]) -> ExtractionError:
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
        async with asyncio.timeout(10):
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


def test_the_code_of_the_child_is_compiled_once(tmp_path: Path) -> None:
    """Every module of the child has bytecode after the first file in a fresh checkout, also those it did not need."""
    source = tmp_path / "src"
    shutil.copytree(PROJECT_ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    note = tmp_path / "note.txt"
    note.write_text("The orchard keeps nine trees.")
    program = (
        "import asyncio, sys; from pathlib import Path; from fastapi_ignite.rag.extraction.process import extract; "
        "path = Path(sys.argv[1]); print(asyncio.run(extract(path, filename=path.name)).text)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    read = subprocess.run(  # noqa: S603  runs the interpreter of the tests
        [sys.executable, "-c", program, str(note)],
        env=environment | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout == "The orchard keeps nine trees.\n"
    modules = [*(source / "fastapi_ignite" / "rag" / "extraction").rglob("*.py")]
    assert len(modules) > 50
    assert [path for path in modules if not Path(importlib.util.cache_from_source(str(path))).exists()] == []
