"""Checks the names of uploaded files, and removes what makes them look like other names."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from fastapi_ignite.core.errors import Example, InvalidInputError

MAX_FILENAME_CHARACTERS = 255
_LEADING_NOWHERE = frozenset({"", "/", "//", ".", ".."})


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


def clean_filename(raw: bytes, *, keep_folders: bool = False) -> str:
    """Return the last component of the path, or with `keep_folders` the path below its root.

    It is only shown, and never used as a path. Components that lead elsewhere (`..`) are left out.

    Invisible characters that make a name look like another one are removed (`invoice<U+202E>fdp.exe` is shown as
    `invoiceexe.pdf`). They are not refused, because they are often copied with a name, and its owner cannot see them.

    Raises:
        InvalidFilenameError: the name is empty, longer than 255 characters, or has control characters.
    """
    given = PurePosixPath(raw.decode("utf-8", errors="replace").replace("\\", "/"))
    shown = [_visible(part) for part in (given.parts if keep_folders else [given.name])]
    name = "/".join(part for part in shown if not keep_folders or part not in _LEADING_NOWHERE)
    control = any(unicodedata.category(character) == "Cc" for character in name)
    if name in _LEADING_NOWHERE or len(name) > MAX_FILENAME_CHARACTERS or control:
        raise InvalidFilenameError(
            f"A file name must have 1 to {MAX_FILENAME_CHARACTERS} characters and no control characters."
        )
    return name


def _visible(part: str) -> str:
    return "".join(character for character in part if not _is_invisible(character)).strip()
