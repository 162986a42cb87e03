"""Every way an extraction can fail, with the words the owner of the file reads."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ErrorCode(StrEnum):
    EMPTY_FILE = "empty_file"
    NO_TEXT = "no_text"
    PASSWORD_PROTECTED = "password_protected"  # noqa: S105 - the name of a failure, not a password
    UNSUPPORTED_TYPE = "unsupported_type"
    CORRUPT_FILE = "corrupt_file"
    TOO_LARGE = "too_large"
    TOO_MANY_CHARACTERS = "too_many_characters"
    EXTRACTION_TIMEOUT = "extraction_timeout"
    EXTRACTION_CRASHED = "extraction_crashed"


MESSAGES = {
    ErrorCode.EMPTY_FILE: "The file is empty.",
    ErrorCode.NO_TEXT: "No text was found in the file; scanned pages need text recognition (OCR) before upload.",
    ErrorCode.PASSWORD_PROTECTED: "The file is encrypted; remove its password and upload it again.",
    ErrorCode.UNSUPPORTED_TYPE: (
        "This type of file holds no text that can be read; upload a document, a spreadsheet, a presentation, an e-mail"
        " or plain text."
    ),
    ErrorCode.CORRUPT_FILE: "The file is damaged or incomplete; save it anew in its own program and upload it again.",
    ErrorCode.TOO_LARGE: "Reading the file takes more memory than one file may use; split it and upload the parts.",
    ErrorCode.TOO_MANY_CHARACTERS: "The file holds more text than one file may; split it and upload the parts.",
    ErrorCode.EXTRACTION_TIMEOUT: "Reading the file took too long; split it or save it in a simpler form.",
    ErrorCode.EXTRACTION_CRASHED: "The file could not be read: its parser stopped unexpectedly.",
}

SCANNED_PAGES: Final = (
    "No text was found in the file: its pages are pictures. Recognise their text (OCR) before the upload, or have text"
    " recognition installed on the server (`make ocr`) and upload it again."
)
TOO_MANY_SCANNED_PAGES: Final = (
    "No text was found in the file: its pages are pictures, and more than can be recognised in one file; split it and"
    " upload the parts."
)


class ExtractionError(Exception):
    """The file cannot be indexed. `message` is for its owner and names nothing of the machine.

    `retryable` is true only where the same bytes may succeed later: the machine was too busy, or something outside
    ended the child. A parser that ran out of its own limits does so again. `scanned_pages` is how many pages hold text
    that recognition might read. `enclosure` is the number of the attached file whose parser ended the child, 0 if it
    was none.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str = "",
        *,
        retryable: bool = False,
        scanned_pages: int = 0,
        enclosure: int = 0,
    ) -> None:
        self.code: str = code.value
        self.message = message or MESSAGES[code]
        self.retryable = retryable
        self.scanned_pages = scanned_pages
        self.enclosure = enclosure
        super().__init__(f"{self.code}: {self.message}")
