"""Text of an uploaded file, or the reason why the service would not index it."""

from __future__ import annotations

import asyncio
import codecs
import tempfile
from pathlib import Path, PurePath
from typing import Final, Literal

from fastapi_ignite.openai_sim.objects import Failure
from fastapi_ignite.rag.extraction import ExtractionError
from fastapi_ignite.rag.extraction.process import extract

# fmt: off
TEXT_SUFFIXES: Final = frozenset({
    ".c", ".cpp", ".cs", ".css", ".go", ".java", ".js", ".json", ".md", ".php", ".py", ".rb", ".sh", ".tex", ".ts",
    ".txt",
})
# fmt: on
DOCUMENT_SUFFIXES: Final = frozenset({".doc", ".docx", ".html", ".pdf", ".pptx"})
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class UnreadableFileError(Exception):
    """The file fails with this error."""

    def __init__(self, code: Literal["unsupported_file", "invalid_file"], message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code=code, message=message)


async def read_text(data: bytes, filename: str) -> str:
    """Text formats are UTF-8, UTF-16 or ASCII; documents go through the project's own extraction.

    Raises:
        UnreadableFileError: the extension is not one the service takes, or the content is not what it says.
    """
    suffix = PurePath(filename).suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return _decoded(data)
    if suffix not in DOCUMENT_SUFFIXES:
        raise UnreadableFileError("unsupported_file", "The file type is not supported.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"document{suffix}"
        await asyncio.to_thread(path.write_bytes, data)
        try:
            return (await extract(path, filename=path.name)).text
        except ExtractionError as error:
            raise UnreadableFileError("invalid_file", error.message) from error


def _decoded(data: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableFileError("invalid_file", "The file's text is not encoded as utf-8, utf-16 or ascii.") from None
    if not text.strip() or "\x00" in text:
        raise UnreadableFileError("invalid_file", "The file holds no text.")
    return text
