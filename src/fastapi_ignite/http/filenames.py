"""The names of uploaded files."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from fastapi_ignite.core.errors import Example, InvalidInputError

MAX_FILENAME_CHARACTERS = 255


class InvalidFilenameError(InvalidInputError):
    """The name of a file is not allowed."""

    code = "invalid_filename"
    title = "Invalid file name"
    example = Example("A file name must have 1 to 255 characters and no control characters.")


# Zero-width joiners change letters of Persian and Indic scripts, and emoji. Names need them.
_SHAPING = frozenset("\u200c\u200d")


def _is_invisible(character: str) -> bool:
    """Tell whether it is a format character (like a direction override) or a line or paragraph separator."""
    return unicodedata.category(character) in {"Cf", "Zl", "Zp"} and character not in _SHAPING


def clean_filename(raw: bytes) -> str:
    """Return the last component of the path. It is only shown, and never used as a path.

    Invisible characters that make a name look like another one are removed (`invoice<U+202E>fdp.exe` is shown as
    `invoiceexe.pdf`). They are not refused, because they are often copied with a name, and its owner cannot see them.

    Raises:
        InvalidFilenameError: the name is empty, longer than 255 characters, or has control characters.
    """
    name = raw.decode("utf-8", errors="replace").replace("\\", "/")
    name = "".join(character for character in PurePosixPath(name).name if not _is_invisible(character)).strip()
    control = any(unicodedata.category(character) == "Cc" for character in name)
    if name in {"", ".", ".."} or len(name) > MAX_FILENAME_CHARACTERS or control:
        raise InvalidFilenameError(
            f"A file name must have 1 to {MAX_FILENAME_CHARACTERS} characters and no control characters."
        )
    return name
