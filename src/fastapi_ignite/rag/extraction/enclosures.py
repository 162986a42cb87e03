"""Reads the files that a message holds, so that one which cannot be read costs no more than itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.result import ExtractedText

DEEPEST: Final = 10
_MOST_FILES: Final = 50
_MOST_FILE_BYTES: Final = 50_000_000


@dataclass(slots=True)
class Enclosures:
    """Reads what is attached to a message, and counts what may still be read, in all messages that enclose it.

    Files are numbered from 1 in the order in which they are read. `announce` is told which one is being read, 0 for
    none, before its parser can end this process. `unreadable` has the codes of those that did so before: they are not
    tried again.
    """

    read: Callable[[bytes, str, Enclosures], ExtractedText]
    depth: int = 0
    files: int = _MOST_FILES
    byte_count: int = _MOST_FILE_BYTES
    announce: Callable[[int], None] = lambda _: None
    unreadable: Mapping[int, str] = field(default_factory=dict)
    _number: int = 0
    _being_read: int = 0

    def read_file(self, data: bytes, suffix: str) -> ExtractedText:
        """Read a file.

        Raises:
            ExtractionError: the file cannot be read, for whatever reason; nothing else is raised.
        """
        if self.files <= 0 or self.byte_count < len(data) or self.depth >= DEEPEST:
            raise ExtractionError(ErrorCode.TOO_LARGE)
        self.files -= 1
        self.byte_count -= len(data)
        self._number += 1
        if self._number in self.unreadable:
            raise ExtractionError(ErrorCode(self.unreadable[self._number]))
        outer, self._being_read = self._being_read, self._number
        self.announce(self._being_read)
        self.depth += 1
        try:
            return self.read(data, suffix, self)
        except ExtractionError:
            raise
        except (MemoryError, RecursionError) as failure:
            raise ExtractionError(ErrorCode.TOO_LARGE) from failure
        except Exception as failure:  # whatever a reader stumbles over: an import after the sealing, damage
            raise ExtractionError(ErrorCode.EXTRACTION_CRASHED) from failure
        finally:
            self.depth -= 1
            self._being_read = outer
            self.announce(outer)
