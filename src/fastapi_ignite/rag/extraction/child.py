"""The main program of a parser: it reads the file on standard input, and writes a JSON line and the text as its answer.

`argv` holds the end of the file's name and the limits. Before that line the parser says which file of a message it is
reading, so that the worker knows which one ended it. It limits and encloses itself before it reads the first byte, and
seals itself before it parses it (`confinement`). The fork server has forked it and has loaded its code.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastapi_ignite.rag.extraction import decoding, recognition
from fastapi_ignite.rag.extraction.confinement import Confinement
from fastapi_ignite.rag.extraction.enclosures import Enclosures
from fastapi_ignite.rag.extraction.errors import SCANNED_PAGES, ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import ZIP_MAGIC, MediaType, binary_type, text_type
from fastapi_ignite.rag.extraction.html import read_page
from fastapi_ignite.rag.extraction.mail import msg, read_message
from fastapi_ignite.rag.extraction.packages import package_type
from fastapi_ignite.rag.extraction.plain import plain_spans
from fastapi_ignite.rag.extraction.readers import read_document
from fastapi_ignite.rag.extraction.result import ExtractedText, ExtractionLimits
from fastapi_ignite.rag.extraction.structure import spans_to_json
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

_OPEN_FILES = 64


def extract_text(data: bytes, suffix: str, enclosures: Enclosures | None = None) -> ExtractedText:
    """Read a file. `suffix` is the end of its name in lower case: a hint among text formats, nothing more.

    A file that is attached to a message comes with the `enclosures` of that message.
    """
    if not data:
        raise ExtractionError(ErrorCode.EMPTY_FILE)
    media_type = package_type(data) if data.startswith(ZIP_MAGIC) else binary_type(data)
    if media_type is MediaType.OUTLOOK_MESSAGE:
        return msg.read(data, media_type, enclosures or Enclosures(extract_text))
    if media_type is not None:
        return read_document(data, media_type)
    text = decoding.decode(data, declared=True)
    kind = text_type(text, suffix)
    if kind == MediaType.HTML:
        page = TextBuilder()
        read_page(text, page)
        return ExtractedText(page.text, None, kind, page.spans)
    if kind == MediaType.EMAIL:
        # Each part of a message has its own encoding: the bytes, not the text they make together. Only where a
        # character takes several NULs is the message a text that was saved once more.
        source = text.encode() if b"\x00" in data else data
        return read_message(source, enclosures or Enclosures(extract_text))
    return ExtractedText(text, None, kind, plain_spans(text, kind, suffix))


def main() -> None:
    suffix, limits = sys.argv[1], ExtractionLimits(**json.loads(sys.argv[2]))
    with _private_output() as output:
        _limit(limits)
        confinement = Confinement()
        confinement.enclose()
        try:
            data = sys.stdin.buffer.read()
            _load_models(limits)
            confinement.seal()
            gc.disable()  # it takes a fifth of the time of a large file, and this process ends with the file
            enclosures = Enclosures(
                extract_text,
                announce=lambda number: _answer(output, {"enclosure": number}),
                unreadable=dict(limits.unreadable),
            )
            found = extract_text(data, suffix, enclosures)
            _refuse_useless(found, limits)
        except ExtractionError as failure:
            _answer(
                output,
                {
                    "error": failure.code,
                    "message": failure.message,
                    "retryable": failure.retryable,
                    "scanned_pages": failure.scanned_pages,
                },
            )
        except (MemoryError, RecursionError):
            _answer(output, {"error": ErrorCode.TOO_LARGE.value})
        except OSError:  # the machine's: no file is opened for the document's sake
            _answer(output, {"error": ErrorCode.EXTRACTION_CRASHED.value, "retryable": True})
        else:
            text = found.text.encode()
            header = {
                "media_type": found.media_type,
                "page_starts": found.page_starts,
                "spans": spans_to_json(found.spans),
                "scanned_pages": found.scanned_pages,
                "bytes": len(text),
            }
            _answer(output, header, text)


@contextlib.contextmanager
def _private_output() -> Iterator[BinaryIO]:
    """Standard output under another number, so that a library which prints cannot garble the answer."""
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        yield output


def _limit(limits: ExtractionLimits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
    # The worker ends a slow child itself; this ends it should the worker be gone.
    signal.alarm(int(limits.wall_seconds) + 10)


def _load_models(limits: ExtractionLimits) -> None:
    """Load what few files need and the fork server has not loaded. Once sealed, the process can open nothing."""
    if limits.recognises:
        recognition.load()


def _refuse_useless(found: ExtractedText, limits: ExtractionLimits) -> None:
    if not found.text or found.text.isspace():
        message = SCANNED_PAGES if found.scanned_pages else ""
        raise ExtractionError(ErrorCode.NO_TEXT, message, scanned_pages=found.scanned_pages)
    if len(found.text) > limits.max_characters:
        raise ExtractionError(ErrorCode.TOO_MANY_CHARACTERS)


def _answer(output: BinaryIO, header: dict[str, Any], text: bytes = b"") -> None:
    output.write(json.dumps(header).encode() + b"\n")
    output.write(text)
    output.flush()


if __name__ == "__main__":
    main()
