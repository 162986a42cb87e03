"""Lists the files of a project, to compare them with local ones."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.file_uploads import HashedFile


class StoredFiles:
    """The files of a project by name and bytes. A file that matches a local one is taken out. Threads may share it."""

    def __init__(self, client: ApiClient, project_id: str) -> None:
        self._client = client
        self._project_id = project_id
        self._lock = threading.Lock()
        self._known: defaultdict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
        self._taken: set[str] = set()

    def read(self) -> None:
        """Read the list of the project's files."""
        for row in self._client.pages(f"/ingestion/projects/{self._project_id}/files", "files"):
            kept = {key: row[key] for key in ("id", "status", "batch_id", "last_error")}
            with self._lock:
                if row["id"] not in self._taken:
                    self._known[row["filename"], row["sha256"]][row["id"]] = kept

    def take(self, file: HashedFile) -> dict[str, Any] | None:
        """Return a stored file with this name and these bytes, or None. Each stored file is returned once."""
        with self._lock:
            rows = self._known.get((file.file.name, file.sha256))
            if not rows:
                return None
            file_id, row = rows.popitem()
            self._taken.add(file_id)
            return row
