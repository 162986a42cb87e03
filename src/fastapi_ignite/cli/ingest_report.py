"""Records what becomes of each file of `ingest`."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi_ignite.cli.api_client import RequestRefusedError
from fastapi_ignite.cli.file_uploads import HashedFile, LocalFile
from fastapi_ignite.core.errors import IgniteError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file. `status` is that of the API, or `not_sent`. Only failures have a code and a message."""

    path: str
    name: str
    status: str
    file_id: str | None = None
    code: str | None = None
    message: str | None = None

    @property
    def is_failure(self) -> bool:
        return self.status in {"failed", "cancelled", "not_sent"}


class IngestReport:
    """The outcomes so far, and the files in progress by their batch. Threads may share it."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.sent = 0
        self.already_there = 0
        self._followed: defaultdict[str, dict[str, LocalFile]] = defaultdict(dict)
        self._lock = threading.Lock()

    def fail(self, file: LocalFile, code: str, message: str, *, status: str = "failed") -> None:
        """Report a file that did not get into the project."""
        with self._lock:
            self.outcomes.append(Outcome(file.shown_path, file.name, status, None, code, message))

    def refuse(self, files: Sequence[LocalFile], error: Exception) -> None:
        """Report those of the files as not sent of which nothing is known yet."""
        with self._lock:
            known = {outcome.path for outcome in self.outcomes}
            known |= {file.shown_path for batch in self._followed.values() for file in batch.values()}
        for file in files:
            if file.shown_path not in known:
                self.fail(file, *reason_of(error), status="not_sent")

    def find(self, file: LocalFile, row: dict[str, Any]) -> None:
        """Report a file that was in the project before, or follow it if it is in progress."""
        with self._lock:
            self.already_there += 1
            if row["status"] == "in_progress":
                self._followed[row["batch_id"]][row["id"]] = file
            else:
                self.outcomes.append(_outcome(file, row))

    def accept(self, group: Sequence[HashedFile], batch_id: str, rows: Iterable[dict[str, Any]]) -> list[HashedFile]:
        """Follow the files of a batch, and return those that it does not have, because they were removed."""
        by_content = defaultdict(list)
        for row in rows:
            by_content[row["sha256"]].append(row)
        removed = []
        with self._lock:
            for hashed in group:
                matching = by_content[hashed.sha256]
                if matching:
                    self._followed[batch_id][matching.pop()["id"]] = hashed.file
                else:
                    removed.append(hashed)
            self.sent += len(group) - len(removed)
        return removed

    def next_batch(self) -> str | None:
        """Return the id of the oldest batch with files in progress."""
        with self._lock:
            return next(iter(self._followed), None)

    def finish(self, batch_id: str, rows: Iterable[dict[str, Any]]) -> None:
        """Report the followed files of a batch of which none is in progress any more."""
        by_id = {row["id"]: row for row in rows}
        with self._lock:
            for file_id, file in self._followed.pop(batch_id).items():
                gone = {"id": file_id, "status": "cancelled", "last_error": None}
                self.outcomes.append(_outcome(file, by_id.get(file_id, gone)))

    def end(self) -> None:
        """Report the files that are still in progress."""
        with self._lock:
            for batch in self._followed.values():
                self.outcomes += [
                    Outcome(file.shown_path, file.name, "in_progress", file_id) for file_id, file in batch.items()
                ]
            self._followed.clear()

    def statuses(self) -> Counter[str]:
        """Return how many files have each status."""
        with self._lock:
            return Counter(outcome.status for outcome in self.outcomes)


def reason_of(error: Exception) -> tuple[str, str]:
    """Return the code and the words of an error."""
    if isinstance(error, RequestRefusedError):
        return error.problem.code or str(error.problem.status), error.problem.detail
    if isinstance(error, IgniteError):
        return error.code, error.detail
    return type(error).__name__, str(error)


def _outcome(file: LocalFile, row: dict[str, Any]) -> Outcome:
    error = row["last_error"] or {}
    code, message = error.get("code"), error.get("message")
    if row["status"] == "cancelled" and not error:
        code, message = "cancelled", "It was cancelled or removed."
    return Outcome(file.shown_path, file.name, row["status"], row["id"], code, message)
