"""The requests that pages of docs/ show, the answers that they promise, and a shell that runs the requests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi_ignite.core.config import PROJECT_ROOT

ADDRESS = "http://localhost:8000"
PART = re.compile(
    r"^#+ (?P<method>[A-Z]+) `(?P<path>/[^`]*)`$"
    r"|^```bash\n(?P<bash>.*?)^```$"
    r"|^\*Response\* (?P<status>\d{3})(?:, `[^`]+`)?$(?:\n\n```(?:json|http)\n(?P<body>.*?)^```$)?"
    r"|^\*Errors\*: (?P<errors>.*?)(?=\n\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ERRORS = re.compile(r"(\d{3})((?:,?\s`[a-z_]+`)+)")
MARK = "\x1e"


@dataclass(slots=True)
class Example:
    """One operation as docs/api.md describes it."""

    method: str
    path: str
    block: int = -1
    status: int = 0
    body: str = ""
    errors: frozenset[tuple[int, str]] = frozenset()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Holds what a block of commands printed, and the statuses of its requests."""

    output: str
    statuses: list[int]

    def documents(self) -> list[Any]:
        """Return the JSON values in the output, in their order."""
        decoder, found, at = json.JSONDecoder(), [], 0
        while match := re.compile(r"\s*(?=[\[{])").match(self.output, at):
            value, at = decoder.raw_decode(self.output, match.end())
            found.append(value)
        return found


def page(name: str) -> str:
    """Return the text of a file of the repository."""
    return (PROJECT_ROOT / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced code blocks of a language."""
    return [match["text"] for match in BLOCK.finditer(text) if match["language"] == language]


def reference() -> tuple[list[str], list[Example]]:
    """Return the shell blocks of docs/api.md and its operations, each with the index of the block that shows it."""
    shell: list[str] = []
    examples: list[Example] = []
    for part in PART.finditer(page("docs/api.md")):
        if part["method"]:
            examples.append(Example(part["method"], part["path"]))
        elif part["bash"] is not None:
            shell.append(part["bash"])
        elif part["status"]:
            examples[-1].block = len(shell) - 1
            examples[-1].status, examples[-1].body = int(part["status"]), part["body"] or ""
        else:
            examples[-1].errors = frozenset(
                (int(status), code)
                for status, codes in ERRORS.findall(part["errors"])
                for code in re.findall(r"`([a-z_]+)`", codes)
            )
    return shell, examples


def run_blocks(
    shell: Sequence[str], *, address: str, folder: Path, environment: Mapping[str, str]
) -> list[BlockResult]:
    """Run all blocks in one bash session, in a checkout without `.env`; the first command that fails ends it."""
    for name in ("cli.py", "src", "packages", "docs", "samples"):
        (folder / name).symlink_to(PROJECT_ROOT / name)
    (folder / ".curlrc").write_text('silent\nshow-error\nwrite-out = "%{stderr}HTTP %{http_code}\\n"\n')
    mark = f"printf '{MARK}'; printf '{MARK}' >&2\n"
    script = "set -euo pipefail\n" + mark.join(shell).replace(ADDRESS, address)
    finished = subprocess.run(  # noqa: S603  commands of our own pages
        ["/bin/bash", "-c", script],
        cwd=folder,
        env={
            **environment,
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "CURL_HOME": str(folder),
            "TMPDIR": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, f"{finished.stdout[-2000:]}\n{finished.stderr[-2000:]}"
    outputs, notes = finished.stdout.split(MARK), finished.stderr.split(MARK)
    return [
        BlockResult(output, [int(status) for status in re.findall(r"^HTTP (\d{3})$", note, re.MULTILINE)])
        for output, note in zip(outputs, notes, strict=True)
    ]


def differences(documented: Any, actual: Any, at: str = "$") -> Iterator[str]:
    """Return where the keys and types of two JSON values differ; strings are compared by the kind of their content."""
    if isinstance(documented, dict) and isinstance(actual, dict):
        for key in documented.keys() ^ actual.keys():
            yield f"{at}.{key} is {'missing' if key in documented else 'not documented'}"
        for key in documented.keys() & actual.keys():
            yield from differences(documented[key], actual[key], f"{at}.{key}")
    elif isinstance(documented, list) and isinstance(actual, list):
        if bool(documented) != bool(actual):
            yield f"{at} has {len(actual)} elements, {len(documented)} are documented"
        for number, element in enumerate(actual if documented else []):
            yield from differences(documented[0], element, f"{at}[{number}]")
    elif _kind(documented) != _kind(actual):
        yield f"{at} is {_kind(actual)} ({actual!r}), documented as {_kind(documented)}"


def _kind(value: Any) -> str:
    if not isinstance(value, str):
        return type(value).__name__
    for name, parse in (("id", UUID), ("date", date.fromisoformat), ("time", datetime.fromisoformat)):
        try:
            parse(value)
        except ValueError:
            continue
        return name
    return "text"
