"""Runs `ingest`: it sends what the project does not have, and follows the files until they are processed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi_ignite.cli.api_client import ApiClient, RequestRefusedError
from fastapi_ignite.cli.file_uploads import (
    FileChangedError,
    HashedFile,
    LocalFile,
    hash_file,
    read_batch,
    upload_group,
)
from fastapi_ignite.cli.ingest_report import IngestReport
from fastapi_ignite.cli.progress import IngestProgress
from fastapi_ignite.cli.stored_files import StoredFiles
from fastapi_ignite.core.errors import IgniteError, UnavailableError

MAX_GROUP_BYTES = 16 * 2**20
FIRST_LOOK_SECONDS = 0.5
LAST_LOOK_SECONDS = 3.0  # a look is a request of the tenant
STALL_SECONDS = 60
# These refusals hold for every other file too, until a subscription, a token or a quota changes.
_FINAL_STATUSES = frozenset({401, 402, 403, 404, 429, 503})
_REPETITIONS = 5  # how often the files of an answered request may have been removed since


class IngestRun:
    """Sends files in groups from several threads, and follows the batches.

    The groups follow from the files alone. So another run makes the same ones, and a request that was cut off is
    repeated under its key.
    """

    def __init__(
        self,
        client: ApiClient,
        project_id: str,
        files: Sequence[LocalFile],
        *,
        group_files: int,
        retry_failed: bool,
        progress: IngestProgress,
    ) -> None:
        self._client = client
        self._project_id = project_id
        self._groups = _groups(files, group_files)
        self._retry_failed = retry_failed
        self._progress = progress
        self._stored = StoredFiles(client, project_id)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._max_file_bytes: int | None = None
        self._interrupted = False
        self.report = IngestReport()
        self.stopped_by: Exception | None = None

    def start(self, threads: int) -> None:
        """Read what the project has, and begin to send the rest."""
        self._stored.read()
        for _ in range(threads):
            thread = threading.Thread(target=self._send_groups, daemon=True)
            self._threads.append(thread)
            thread.start()

    def follow(self) -> None:
        """Wait until every group was sent and every file is processed."""
        counts: dict[str, dict[str, int]] = {}
        stalled_at = time.monotonic() + STALL_SECONDS
        pause = FIRST_LOOK_SECONDS
        while True:
            self._raise_if_interrupted()
            sending = any(thread.is_alive() for thread in self._threads)
            unfinished = self.report.next_batch()
            if unfinished is None and not sending:
                break
            if unfinished is not None:
                before = counts.get(unfinished)
                counts[unfinished] = self._look_at(unfinished)
                if counts[unfinished] != before:
                    stalled_at = time.monotonic() + STALL_SECONDS
                    pause = FIRST_LOOK_SECONDS
            if unfinished is None or counts[unfinished]["in_progress"]:
                self._show_processed(counts.get(unfinished or "", {}))
                time.sleep(pause)
                pause = min(pause * 1.5, LAST_LOOK_SECONDS)
            if time.monotonic() > stalled_at:
                stalled_at = time.monotonic() + STALL_SECONDS
                self._progress.note(f"No file was finished for {STALL_SECONDS} s. {self._workers()}")
        self._show_processed({})

    def wait_until_sent(self) -> None:
        """Wait until every group was sent."""
        for thread in self._threads:
            while thread.is_alive():  # a join without an end would keep Ctrl-C waiting
                self._raise_if_interrupted()
                thread.join(FIRST_LOOK_SECONDS)

    def interrupt(self) -> None:
        """Have the main thread raise KeyboardInterrupt soon. A signal handler may call this."""
        self._interrupted = True

    def _raise_if_interrupted(self) -> None:
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def stop(self, error: Exception) -> None:
        """Begin no upload any more. Files that were not sent yet are reported with this error."""
        with self._lock:
            self.stopped_by = self.stopped_by or error

    def stop_and_wait(self, error: Exception) -> None:
        """Stop, end every pause of the uploads under way, and wait until they have ended."""
        self.stop(error)
        self._client.stop()
        self.wait_until_sent()

    def _send_groups(self) -> None:
        while True:
            with self._lock:
                group = next(self._groups, None)
            if group is None:
                return
            try:
                if self.stopped_by is None:
                    self._send(self._not_stored(group))
                else:
                    self.report.refuse(group, self.stopped_by)
            except Exception as error:  # noqa: BLE001  # any error ends the run, and is reported with each file
                self.stop(error)
                self.report.refuse(group, error)

    def _not_stored(self, group: Sequence[LocalFile]) -> list[HashedFile]:
        """Compute the hashes of a group, and return those files that the project does not have."""
        missing = []
        for file in group:
            try:
                hashed = hash_file(file)
            except FileChangedError as error:
                self.report.fail(file, "unreadable", error.reason)
                continue
            row = self._stored.take(hashed)
            if row is None:
                missing.append(hashed)
            else:
                self._accept_stored(file, row)
        return missing

    def _accept_stored(self, file: LocalFile, row: dict[str, Any]) -> None:
        self._progress.add_bytes(file.size)
        self._progress.add_sent(1)
        if self._retry_failed and row["status"] in {"failed", "cancelled"}:
            row = self._retried(row)
        self.report.find(file, row)

    def _retried(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._client.post(f"/ingestion/projects/{self._project_id}/files/{row['id']}/retry")
        except RequestRefusedError as error:
            problem = error.problem
            return row | {"last_error": {"code": problem.code, "message": problem.detail}}

    def _send(self, group: Sequence[HashedFile], replaces: str = "", repetitions: int = 0) -> None:
        """Send a group. What the server refuses because of single files is sent again without them."""
        group = self._without_large(group)
        if not group:
            return
        try:
            batch = upload_group(
                self._client, self._project_id, group, replaces=replaces, on_bytes=self._progress.add_bytes
            )
        except FileChangedError as error:
            self.report.fail(error.file, "unreadable", error.reason)
            self._send([each for each in group if each.file is not error.file], replaces, repetitions)
            return
        except RequestRefusedError as error:
            self._send_parts(group, error, replaces, repetitions)
            return
        rows = batch.files
        if batch.is_replay:  # how the files were then says nothing about how they are now
            rows = read_batch(self._client, self._project_id, batch.id).files
        removed = self.report.accept(group, batch.id, rows)
        self._progress.add_sent(len(group) - len(removed))
        if removed:
            if repetitions >= _REPETITIONS:
                raise UnavailableError("Files are removed from the project as fast as they are sent.")
            self._send(removed, batch.id, repetitions + 1)

    def _send_parts(
        self, group: Sequence[HashedFile], error: RequestRefusedError, replaces: str, repetitions: int
    ) -> None:
        """Send the files of a refused group apart, until the one that was meant is alone."""
        problem = error.problem
        if problem.status in _FINAL_STATUSES or repetitions > _REPETITIONS:
            raise error
        if problem.code == "idempotency_duplicate":
            self._stored.read()
            missing = []
            for hashed in group:
                row = self._stored.take(hashed)
                if row is None:
                    missing.append(hashed)
                else:
                    self._accept_stored(hashed.file, row)
            self._send(missing, f"{replaces}+", repetitions + 1)
        elif problem.code == "file_too_large" and self._learn_limit(group, problem.members.get("max_bytes")):
            self._send(group, replaces, repetitions)
        elif len(group) == 1:
            self.report.fail(group[0].file, problem.code or str(problem.status), problem.detail)
        else:
            half = len(group) // 2
            self._send(group[:half], replaces, repetitions)
            self._send(group[half:], replaces, repetitions)

    def _learn_limit(self, group: Sequence[HashedFile], max_bytes: object) -> bool:
        """Remember how large a file may be. Tell whether the group then becomes smaller."""
        if not isinstance(max_bytes, int):
            return False
        self._max_file_bytes = max_bytes
        return any(each.file.size > max_bytes for each in group)

    def _without_large(self, group: Sequence[HashedFile]) -> list[HashedFile]:
        limit = self._max_file_bytes
        kept = [each for each in group if limit is None or each.file.size <= limit]
        for each in group:
            if limit is not None and each.file.size > limit:
                self.report.fail(each.file, "file_too_large", f"A file may have at most {limit} bytes.")
        return kept

    def _look_at(self, batch_id: str) -> dict[str, int]:
        """Return the counts of a batch. If it is finished, report its files."""
        path = f"/ingestion/projects/{self._project_id}/batches/{batch_id}"
        counts: dict[str, int] = self._client.get(path, limit=1)["file_counts"]
        if counts["in_progress"]:
            return counts
        self.report.finish(batch_id, read_batch(self._client, self._project_id, batch_id).files)
        return counts

    def _show_processed(self, counts: dict[str, int]) -> None:
        statuses = self.report.statuses()
        failed = statuses["failed"] + statuses["cancelled"] + counts.get("failed", 0)
        self._progress.set_processed(completed=statuses["completed"] + counts.get("processed", 0), failed=failed)

    def _workers(self) -> str:
        try:
            ready = self._client.get("/health/ready")
        except IgniteError as error:
            return error.detail
        return f"The server says: status {ready['status']}, worker {ready['worker']}."


def _groups(files: Sequence[LocalFile], group_files: int) -> Iterator[list[LocalFile]]:
    group: list[LocalFile] = []
    size = 0
    for file in files:
        if group and (len(group) == group_files or size + file.size > MAX_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield group
