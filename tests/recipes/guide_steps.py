"""The steps of a recipe in DEVELOPER-GUIDE.md, and how they are applied to a copy of the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.doc_pages import page

BLOCK = re.compile(r"^(?P<fence>`{3,})(?P<language>\w+)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Commands:
    """Lines that a shell runs."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewFile:
    path: str
    text: str

    def apply(self, root: Path) -> None:
        target = root / self.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.text)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an existing file. Each hunk is the text before and after; the text before stands in the file once."""

    path: str
    hunks: tuple[tuple[str, str], ...]

    def apply(self, root: Path) -> None:
        (target,) = root.glob(self.path)
        text = target.read_text()
        for before, after in self.hunks:
            assert text.count(before) == 1, f"{self.path} has {text.count(before)} times:\n{before}"
            text = text.replace(before, after)
        target.write_text(text)


Step = Commands | NewFile | Change


def steps(heading: str) -> Iterator[Step]:
    """Yield the steps that the code blocks of a section of the guide describe, in their order."""
    section = page("DEVELOPER-GUIDE.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section, f"the guide has no section '{heading}'"
    for block in BLOCK.finditer(section):
        first, _, rest = block["text"].partition("\n")
        if block["language"] == "bash":
            yield Commands(tuple(block["text"].splitlines()))
        elif block["language"] == "diff":
            yield Change(first.removeprefix("+++ "), tuple(map(_hunk, rest.split("@@\n"))))
        else:
            yield NewFile(first.removeprefix("# "), rest)


def _hunk(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    before, after = ([line[1:] for line in lines if not line.startswith(mark)] for mark in "+-")
    return "\n".join(before), "\n".join(after)
