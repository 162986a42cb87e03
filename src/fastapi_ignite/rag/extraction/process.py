"""The worker's side of an extraction: has a parser forked, bounds it and reads its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import BinaryIO, Final

from fastapi_ignite.rag.extraction import recognition
from fastapi_ignite.rag.extraction.confinement import Guards
from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.parser_processes import Parser, executed_parser, forked_parser
from fastapi_ignite.rag.extraction.result import ExtractedText, ExtractionLimits
from fastapi_ignite.rag.extraction.structure import spans_from_json

_PROBE: Final = (sys.executable, "-P", "-s", "-B", "-m", "fastapi_ignite.rag.extraction.confinement")
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
    suffix = PurePath(filename.replace("\\", "/")).suffix.lower()

    async def read(limits: ExtractionLimits, file: BinaryIO | None = None) -> ExtractedText:
        arguments = (suffix, json.dumps(asdict(limits)))
        try:
            with await asyncio.to_thread(path.open, "rb") if file is None else file as opened:
                return await result_of(forked_parser(arguments, opened, niceness=niceness), limits)
        except ExtractionError as failure:
            if not failure.enclosure or len(limits.unreadable) >= _MOST_UNREADABLE:
                raise
            unreadable = (*limits.unreadable, (failure.enclosure, failure.code))
        return await read(replace(limits, unreadable=unreadable))

    first = await asyncio.to_thread(path.open, "rb")
    if limits is None:
        limits = ExtractionLimits.for_size(os.fstat(first.fileno()).st_size)
    try:
        found = await read(limits, first)
    except ExtractionError as failure:
        if not failure.scanned_pages or not recognition.is_installed():
            raise
        return await read(limits.for_recognition(failure.scanned_pages))
    if found.scanned_pages and recognition.is_installed():
        with contextlib.suppress(ExtractionError):  # the text of the other pages is worth having
            return await read(limits.for_recognition(found.scanned_pages))
    return found


async def result_of(started: AbstractAsyncContextManager[Parser], limits: ExtractionLimits) -> ExtractedText:
    """Turn the answer of a parser, or its end, into a result."""
    async with started as parser:
        complaints = asyncio.create_task(_read_end(parser.stderr))
        try:
            async with asyncio.timeout(limits.wall_seconds):
                answer = await _read_answer(parser.stdout, limits)
                diagnosis = await complaints
                status = await parser.wait()
        except TimeoutError:
            raise ExtractionError(ErrorCode.EXTRACTION_TIMEOUT, retryable=True) from None
        finally:
            complaints.cancel()
    if status != 0:
        raise _death(status, diagnosis, _announced(answer)[0])
    # a hop into a thread costs more than a small answer
    return _understood(answer) if len(answer) <= _READ_BLOCK else await asyncio.to_thread(_understood, answer)


async def probe_guards() -> Guards:
    """Confine a child that reads no file, and return which guards hold on this machine.

    Raises:
        OSError: the child could not be run; the message says how it ended.
    """
    async with executed_parser(_PROBE, None) as child, asyncio.timeout(_PROBE_SECONDS):
        answer, complaint = await asyncio.gather(child.stdout.read(), child.stderr.read())
        status = await child.wait()
    if status != 0:
        said = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(f"a parser cannot be confined: {said or f'it ended with {status}'}")
    return Guards(**json.loads(answer))


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
