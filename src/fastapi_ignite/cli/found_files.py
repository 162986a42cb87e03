"""Find the files that the arguments of a command name: files, folders and patterns."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fastapi_ignite.cli.file_uploads import LocalFile
from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.http.filenames import InvalidFilenameError, clean_filename

WILDCARDS = frozenset("*?[")


class Unusable(NamedTuple):
    """A file that cannot be sent, and why."""

    path: Path
    code: str
    reason: str


@dataclass(slots=True)
class FoundFiles:
    """The files to send, in the order of their paths; those that are empty; and those that cannot be sent."""

    files: list[LocalFile] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)

    def add(self, path: Path, name: Path) -> None:
        """Add a file by its kind, its size and its name in the project."""
        try:
            found = path.stat()
        except OSError as error:
            self.unusable.append(Unusable(path, "unreadable", error.strerror or str(error)))
            return
        if not stat.S_ISREG(found.st_mode):
            self.unusable.append(Unusable(path, "not_a_file", "It is neither a file nor a folder."))
        elif not os.access(path, os.R_OK):
            self.unusable.append(Unusable(path, "unreadable", "Permission denied"))
        elif not found.st_size:
            self.empty.append(path)
        else:
            try:
                shown = clean_filename(os.fsencode(name), keep_folders=True)
            except InvalidFilenameError as error:
                self.unusable.append(Unusable(path, error.code, error.detail))
            else:
                self.files.append(LocalFile(path, shown, found.st_size))


def find_files(paths: Sequence[str]) -> FoundFiles:
    """Find all files of the paths. A folder counts with all that is below it; hidden files and folders do not.

    The name of a file is its path below the folder that was given, or below the part of a pattern without wildcards.
    Links are followed. Each folder is read once, so a link to a folder above it does no harm.

    Raises:
        InvalidInputError: A path does not exist, or a pattern matches nothing.
    """
    found = FoundFiles()
    seen: set[Path] = set()
    for given in paths:
        path = Path(given).expanduser()
        root = path
        if path.is_dir():
            matches = _walk(path, found)
        elif os.path.lexists(path):
            root, matches = path.parent, iter([path])
        else:
            root, patterns = _split(path)
            matches = _matching(root, patterns, found)
        matched = path.is_dir()
        for match in matches:
            matched = True
            if match not in seen:
                seen.add(match)
                found.add(match, match.relative_to(root))
        if not matched:
            raise InvalidInputError(f"{given}: there is no such file or folder, and no file that matches.")
    return found


def _walk(folder: Path, found: FoundFiles) -> Iterator[Path]:
    """Yield the files below a folder in the order of their paths."""
    read: set[tuple[int, int]] = set()

    def entries(below: Path) -> Iterator[Path]:
        try:
            known = below.stat()
            entries_below = sorted(below.iterdir())
        except OSError as error:
            found.unusable.append(Unusable(below, "unreadable", error.strerror or str(error)))
            return
        if (known.st_dev, known.st_ino) in read:
            return
        read.add((known.st_dev, known.st_ino))
        for entry in entries_below:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry):  # noqa: PTH112  # Path.is_dir raises where the folder may be listed but not entered
                yield from entries(entry)
            else:
                yield entry

    yield from entries(folder)


def _split(pattern: Path) -> tuple[Path, Sequence[str]]:
    """Return the folder before the first wildcard, and the rest of the pattern, which is empty if there is none."""
    parts = pattern.parts
    fixed = next((place for place, part in enumerate(parts) if WILDCARDS & set(part)), len(parts))
    return Path(*parts[:fixed]), parts[fixed:]


def _matching(folder: Path, patterns: Sequence[str], found: FoundFiles) -> Iterator[Path]:
    """Yield the files below a folder that match. `**` stands for any number of folders."""
    if patterns and folder.is_dir():
        for path in _walk(folder, found):
            if _matches(path.relative_to(folder).parts, patterns):
                yield path


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    first, *rest = patterns
    if first == "**":
        return any(_matches(parts[skipped:], rest or ["*"]) for skipped in range(len(parts)))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], first) and _matches(parts[1:], rest)
