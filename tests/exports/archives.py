"""A reader for the archive of an export."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import httpx2


class DownloadedArchive:
    """Reads the parts of an archive that was downloaded over HTTP."""

    def __init__(self, answer: httpx2.Response) -> None:
        assert answer.status_code == 200, answer.text
        self.content = answer.content
        self._zip = zipfile.ZipFile(io.BytesIO(answer.content))
        assert self._zip.testzip() is None
        self.manifest: dict[str, Any] = json.loads(self._zip.read("manifest.json"))

    @property
    def names(self) -> set[str]:
        return set(self._zip.namelist())

    def read(self, name: str) -> bytes:
        return self._zip.read(name)

    def rows(self, section: str) -> list[dict[str, Any]]:
        """Return the rows of a section, and check them against the manifest."""
        name = f"{section}.jsonl"
        content = self._zip.read(name)
        (listed,) = [entry for entry in self.manifest["contents"] if entry["name"] == name]
        rows = [json.loads(line) for line in content.splitlines()]
        assert listed["rows"] == len(rows)
        assert listed["bytes"] == len(content)
        assert listed["sha256"] == hashlib.sha256(content).hexdigest()
        assert listed["read_from"] <= listed["read_until"]
        return rows
