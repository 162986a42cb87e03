"""The worker's side of an extraction: starts the child, bounds it, reads its answer."""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import functools
import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import Final

import fastapi_ignite
from fastapi_ignite.rag.extraction import recognition
from fastapi_ignite.rag.extraction.confinement import Guards
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.result import ExtractedText, ExtractionLimits
from fastapi_ignite.rag.extraction.structure import spans_from_json

_CHILD: Final = "fastapi_ignite.rag.extraction.child"
_PROBE: Final = "fastapi_ignite.rag.extraction.confinement"
# what the child imports and this process does not
_CHILD_PACKAGES: Final = ("fastapi_ignite.rag.extraction", "olefile", "pypdfium2", "pypdfium2_raw")
_PROBE_SECONDS: Final = 30
_BYTES_PER_CHARACTER: Final = 4
_HEADER_BYTES: Final = 8 * 1024**2
_READ_BLOCK: Final = 256 * 1024
# So many attached files of a message may end their parser; each costs another reading of the message.
_MOST_UNREADABLE: Final = 3
_DIAGNOSIS_BYTES: Final = 16 * 1024
# What the child says about attached files before its answer.
_ENCLOSURE: Final = re.compile(rb'\{"enclosure": ([0-9]{1,4})\}\n')
# How allocators of the three languages in the child say that the memory limit was reached.
_OUT_OF_MEMORY: Final = (
    b"memory allocation of",
    b"bad_alloc",
    b"MemoryError",
    b"out of memory",
    b"Cannot allocate memory",
)


async def extract(
    path: Path, *, filename: str, limits: ExtractionLimits | None = None, niceness: int = 0
) -> ExtractedText:
    """The text of the file at `path`, which its owner calls `filename`; without `limits` its size sets them.

    Nothing of the file is parsed in this process, and its event loop is never held up. A cancelled call ends the child.
    Where the parser of an attached file ends the child, another one reads the message without that file.
    If pages are pictures and text recognition is installed, a second child reads the file anew and recognises them.
    `niceness` (0 to 19) is added to this process's own: the higher, the less processor time the child gets from others.

    Raises:
        ExtractionError: the file cannot be indexed; the code says why.
        OSError: `path` cannot be opened, which is no fault of the file.
    """
    await asyncio.to_thread(_compile_child)
    if limits is None:
        limits = ExtractionLimits.for_size((await asyncio.to_thread(path.stat)).st_size)
    suffix = PurePath(filename.replace("\\", "/")).suffix.lower()

    async def read(limits: ExtractionLimits) -> ExtractedText:
        command = (sys.executable, "-P", "-s", "-B", "-m", _CHILD, suffix, json.dumps(asdict(limits)))
        try:
            return await run_child(command, path, limits, niceness=niceness)
        except ExtractionError as failure:
            if not failure.enclosure or len(limits.unreadable) >= _MOST_UNREADABLE:
                raise
            unreadable = (*limits.unreadable, (failure.enclosure, failure.code))
        return await read(replace(limits, unreadable=unreadable))

    try:
        found = await read(limits)
    except ExtractionError as failure:
        if not failure.scanned_pages or not recognition.is_installed():
            raise
        return await read(limits.for_recognition(failure.scanned_pages))
    if found.scanned_pages and recognition.is_installed():
        with contextlib.suppress(ExtractionError):  # the text of the other pages is worth having
            return await read(limits.for_recognition(found.scanned_pages))
    return found


async def run_child(
    command: Sequence[str], path: Path, limits: ExtractionLimits, *, niceness: int = 0
) -> ExtractedText:
    """Runs `command` with the file as its standard input and turns its answer, or its end, into a result."""
    file = await asyncio.to_thread(path.open, "rb")
    with file:
        # a process group of its own, to be killed as a whole; not a session, which would get a share of the processor
        # as large as the worker's, whatever its niceness
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            cwd="/",
            process_group=0,
        )
    _lower_priority(child.pid, niceness)
    complaints = asyncio.create_task(_read_end(_pipe(child.stderr)))
    try:
        async with asyncio.timeout(limits.wall_seconds):
            answer = await _read_answer(_pipe(child.stdout), limits)
            diagnosis = await complaints
            status = await child.wait()
    except TimeoutError:
        raise ExtractionError(ErrorCode.EXTRACTION_TIMEOUT, retryable=True) from None
    finally:
        complaints.cancel()
        await _end(child)
    if status != 0:
        raise _death(status, diagnosis, _announced(answer)[0])
    return await asyncio.to_thread(_understood, answer)


@functools.cache
def _compile_child() -> None:
    """Compile what the child imports, once a process.

    A child may write no files. Without bytecode each one would compile its code anew, which doubles its start.
    """
    if sys.dont_write_bytecode:
        return
    for package in _CHILD_PACKAGES:
        found = importlib.util.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            compileall.compile_dir(folder, quiet=2)  # a folder that cannot be written stays as it is


def _lower_priority(pid: int, niceness: int) -> None:
    """Set the priority from outside, so that it also holds while the child starts Python."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or is another user's by now
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + niceness)


async def probe_guards() -> Guards:
    """Confine a child that reads no file, and return which guards hold on this machine.

    Raises:
        OSError: the child could not be run; the message says how it ended.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-s", "-B", "-m", _PROBE),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
        cwd="/",
        process_group=0,
    )
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            answer, complaint = await child.communicate()
    finally:
        await _end(child)
    if child.returncode != 0:
        said = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(f"a parser cannot be confined: {said or f'it ended with {child.returncode}'}")
    return Guards(**json.loads(answer))


def _environment() -> dict[str, str]:
    """All the child sees of the worker's environment: no setting and no secret passes."""
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


def _pipe(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise RuntimeError("the child was started without pipes")
    return stream


async def _read_answer(stream: asyncio.StreamReader, limits: ExtractionLimits) -> bytes:
    bound = limits.max_characters * _BYTES_PER_CHARACTER + _HEADER_BYTES
    answer = bytearray()
    while block := await stream.read(_READ_BLOCK):
        answer += block
        if len(answer) > bound:
            raise ExtractionError(ErrorCode.TOO_MANY_CHARACTERS)
    return bytes(answer)


async def _read_end(stream: asyncio.StreamReader) -> bytes:
    """The last of what was said: a parser may complain without end, and a full pipe would stop it."""
    said = b""
    while block := await stream.read(_READ_BLOCK):
        said = (said + block)[-_DIAGNOSIS_BYTES:]
    return said


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    # asyncio learns of the end of a process only when its pipes have been read out.
    for stream in (_pipe(child.stdout), _pipe(child.stderr)):
        while await stream.read(_READ_BLOCK):
            pass
    await child.wait()


def _death(status: int, diagnosis: bytes, enclosure: int) -> ExtractionError:
    if any(sign in diagnosis for sign in _OUT_OF_MEMORY):
        return ExtractionError(ErrorCode.TOO_LARGE, enclosure=enclosure)
    if status == -signal.SIGXCPU:
        return ExtractionError(ErrorCode.EXTRACTION_TIMEOUT, enclosure=enclosure)
    # SIGKILL and SIGTERM come from outside: a restart, or a machine short of memory. A parser's own crash comes again.
    if status in {-signal.SIGKILL, -signal.SIGTERM}:
        return ExtractionError(ErrorCode.EXTRACTION_CRASHED, retryable=True)
    return ExtractionError(ErrorCode.EXTRACTION_CRASHED, enclosure=enclosure)


def _announced(answer: bytes) -> tuple[int, int]:
    """Return the number of the attached file that the child read last, 0 for none, and where its answer begins."""
    number = start = 0
    while (said := _ENCLOSURE.match(answer, start)) is not None:
        number, start = int(said[1]), said.end()
    return number, start


def _understood(answer: bytes) -> ExtractedText:
    line, _, text = answer[_announced(answer)[1] :].partition(b"\n")
    try:
        header = json.loads(line)
        if "error" in header:
            raise ExtractionError(
                ErrorCode(header["error"]),
                header.get("message", ""),
                retryable=header.get("retryable", False),
                scanned_pages=header.get("scanned_pages", 0),
            )
        if header["bytes"] != len(text):
            raise ExtractionError(ErrorCode.EXTRACTION_CRASHED)
        starts = header["page_starts"]
        return ExtractedText(
            text.decode(),
            None if starts is None else tuple(starts),
            header["media_type"],
            spans_from_json(header["spans"]),
            header.get("scanned_pages", 0),
        )
    except (ValueError, KeyError, TypeError) as garbled:
        raise ExtractionError(ErrorCode.EXTRACTION_CRASHED) from garbled
