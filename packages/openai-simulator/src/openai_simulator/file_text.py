"""Reads the text of an uploaded file, or says why the service would not index it."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
from pathlib import Path, PurePath
from typing import Final, Literal

from openai_simulator.objects import Failure

# fmt: off
TEXT_SUFFIXES: Final = frozenset({
    ".c", ".cpp", ".cs", ".css", ".go", ".java", ".js", ".json", ".md", ".php", ".py", ".rb", ".sh", ".tex", ".ts",
    ".txt",
})
# fmt: on
DOCUMENT_SUFFIXES: Final = frozenset({".doc", ".docx", ".html", ".pdf", ".pptx"})
PARSER: Final = Path(__file__).with_name("document_parser.py")
PARSER_SECONDS: Final = 60
PARSER_VARIABLES: Final = ("PATH", "PYTHONPATH", "TMPDIR")
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class UnreadableFileError(Exception):
    """The file cannot be indexed; `failure` is the error that the service shows for it."""

    def __init__(self, code: Literal["unsupported_file", "invalid_file"], message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code=code, message=message)


async def read_text(data: bytes, filename: str) -> str:
    """Return the text of a file. The extension decides how it is read; text files are UTF-8, UTF-16 or ASCII.

    Raises:
        UnreadableFileError: the service does not take the extension, or the content does not fit it.
    """
    suffix = PurePath(filename).suffix.lower()
    if suffix in TEXT_SUFFIXES:
        text = _decode(data)
    elif suffix in DOCUMENT_SUFFIXES:
        text = await _parse(data, suffix)
    else:
        raise UnreadableFileError("unsupported_file", "The file type is not supported.")
    if not text.strip() or "\x00" in text:
        raise UnreadableFileError("invalid_file", "The file holds no text.")
    return text


def _decode(data: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableFileError("invalid_file", "The file's text is not encoded as utf-8, utf-16 or ascii.") from None


async def _parse(data: bytes, suffix: str) -> str:
    """Read a document in a child process, which is killed when it takes too long or when the call is cancelled."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", str(PARSER), suffix),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in PARSER_VARIABLES if name in os.environ},
    )
    try:
        async with asyncio.timeout(PARSER_SECONDS):
            text, _ = await child.communicate(data)
    except TimeoutError:
        raise UnreadableFileError("invalid_file", "Reading the file took too long.") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise UnreadableFileError("invalid_file", "The file is damaged or is not what its extension says.")
    return text.decode()
