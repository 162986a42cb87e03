"""Tests of what only the file backend must handle: the disk, other processes, and crashes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest

from fastapi_ignite.infra.cache import FileBackend
from infra.cache.processes import WRITER, Program

MEBIBYTE = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
async def backend(folder: Path) -> AsyncGenerator[FileBackend]:
    made = FileBackend(folder, max_bytes=2 * MEBIBYTE)
    yield made
    await made.close()


@pytest.fixture
def write_elsewhere(folder: Path) -> Iterator[Callable[..., Program]]:
    """Return a function that starts another process, which writes into the folder."""
    programs: list[Program] = []

    def start(*, size: int, keys: int, count: int) -> Program:
        program = Program(WRITER, folder, 2 * MEBIBYTE, size, keys, count)
        programs.append(program)
        assert program.line() == "ready"
        program.go()
        return program

    yield start
    for program in programs:
        program.kill()


def on_disk(folder: Path) -> int:
    """Return the bytes that the entries take on the disk, in whole blocks."""
    taken = 0
    for path in (folder / "entries").glob("??/*"):
        try:
            taken += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return taken


async def written_at_last(backend: FileBackend, key: str, size: int) -> bool:
    """Repeat a write until it is stored. A write without room is refused, and starts a sweep that makes room."""
    for _ in range(1000):
        if await backend.write(key, b"x" * size, 60, (), ()):
            return True
        await asyncio.sleep(0.01)
    return False


async def test_the_disk_is_bounded_however_many_processes_write(
    folder: Path, backend: FileBackend, write_elsewhere: Callable[..., Program]
) -> None:
    each = 3 * 2 * MEBIBYTE // 30_000  # each process writes three times as much as the limit allows
    others = [write_elsewhere(size=30_000, keys=0, count=each) for _ in range(2)]
    most = 0
    async with asyncio.timeout(60):
        while any(other.running for other in others):
            most = max(most, on_disk(folder))
            await backend.read("key:1", ())
    assert MEBIBYTE < most <= 2 * MEBIBYTE
    assert [other.line() for other in others] == [str(each)] * 2, "writes go on when there is no room left"
    assert await written_at_last(backend, "last", 30_000)
    assert (await backend.read("last", ())).data == b"x" * 30_000


async def test_writing_one_key_again_and_again_needs_no_more_room(folder: Path, backend: FileBackend) -> None:
    for number in range(200):
        await backend.write("key", bytes([number]) * 100_000, 60, (), ())
    assert on_disk(folder) <= 106_496
    assert await written_at_last(backend, "another key", 100_000), "the room that was counted twice is found again"


async def test_what_is_larger_than_the_bound_is_refused(backend: FileBackend) -> None:
    assert not await backend.write("key", b"x" * 2 * MEBIBYTE, 60, (), ())
    assert (await backend.read("key", ())).data is None


async def test_no_half_entry_is_seen_while_others_write_and_crash(
    folder: Path, backend: FileBackend, write_elsewhere: Callable[..., Program]
) -> None:
    seen = 0
    for _ in range(2):
        others = [write_elsewhere(size=100_000, keys=3, count=10**9) for _ in range(2)]
        for _ in range(40):
            for number in range(3):
                data = (await backend.read(f"key:{number}:0", ())).data
                if data is not None:
                    seen += 1
                    assert len(data) == 100_000
                    assert len(set(data)) == 1
        for other in others:
            other.kill()
    assert seen > 100
    assert await backend.write("key:0:0", b"after the crash", 60, (), ())
    assert (await backend.read("key:0:0", ())).data == b"after the crash"
    assert on_disk(folder) <= 2 * MEBIBYTE


async def test_a_folder_that_is_removed_is_made_anew(folder: Path, backend: FileBackend) -> None:
    before = await backend.generations(["a"])
    assert await backend.write("key", b"1", 60, ["a"], before)
    shutil.rmtree(folder)
    assert (await backend.read("key", ["a"])).data is None
    assert await backend.generations(["a"]) != before
    assert await backend.write("key", b"2", 60, ["a"], await backend.generations(["a"]))
    assert (await backend.read("key", ["a"])).data == b"2"


async def test_an_invalidation_outlives_the_process(folder: Path, backend: FileBackend) -> None:
    generations = await backend.generations(["a"])
    await backend.write("key", b"1", 60, ["a"], generations)
    await backend.invalidate(["a"])
    await backend.close()
    again = FileBackend(folder, max_bytes=2 * MEBIBYTE)
    assert (await again.read("key", ["a"])).generations != generations
    await again.close()


async def test_nobody_else_may_read_the_files(folder: Path, backend: FileBackend) -> None:
    await backend.write("key", b"a tenant's", 60, (), ())
    files = list((folder / "entries").glob("*/*"))
    assert [path.stat().st_mode & 0o077 for path in files] == [0]
    assert [path.parent.stat().st_mode & 0o077 for path in files] == [0]


@pytest.mark.parametrize("content", [b"", b"IGC1", b"garbage" * 100, b"IGC1" + b"\xff" * 40])
async def test_a_file_that_is_no_entry_is_no_entry(folder: Path, backend: FileBackend, content: bytes) -> None:
    await backend.write("key", b"1", 60, (), ())
    [path] = (folder / "entries").glob("*/*")
    path.write_bytes(content)
    assert (await backend.read("key", ())).data is None
    assert [page async for page in backend.scan("") if page] == []
    assert await backend.write("key", b"2", 60, (), ())
    assert (await backend.read("key", ())).data == b"2"
