"""Send groups of local files to a project, each group in one request, and wait until they are processed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from fastapi_ignite.cli.api_client import ApiClient

BLOCK_BYTES = 256 * 1024
FIRST_LOOK_SECONDS = 0.3
LAST_LOOK_SECONDS = 3.0


class FileChangedError(Exception):
    """A file has changed in size since it was found, or cannot be read any more."""

    def __init__(self, file: LocalFile, reason: str) -> None:
        super().__init__(reason)
        self.file = file
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file, the name that it gets in the project, and its size in bytes."""

    path: Path
    name: str
    size: int

    @property
    def shown_path(self) -> str:
        """Return the path as text that can be printed; what is not UTF-8 in it is replaced."""
        return readable(self.path)

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes of the file.

        Raises:
            FileChangedError: It does not have its size any more, or cannot be read.
        """
        read = 0
        try:
            with self.path.open("rb") as source:
                while block := source.read(BLOCK_BYTES):
                    read += len(block)
                    if read > self.size:
                        break
                    yield block
        except OSError as error:
            raise FileChangedError(self, error.strerror or str(error)) from None
        if read != self.size:
            raise FileChangedError(self, "it was changed while it was read")


class HashedFile(NamedTuple):
    """A file with the SHA-256 of its bytes, in hexadecimal digits."""

    file: LocalFile
    sha256: str


class Batch(NamedTuple):
    """An upload as the server knows it: its id, the number of files in each state, and the files.

    `is_replay` says that this is the answer to an earlier request with the same files; some may be removed since.
    """

    id: str
    counts: dict[str, int]
    files: list[dict[str, Any]]
    is_replay: bool = False


def readable(path: Path) -> str:
    """Return a path as text that can be printed. A path of Linux may have any bytes."""
    return os.fsencode(path).decode("utf-8", "replace")


def hash_file(file: LocalFile) -> HashedFile:
    """Compute the SHA-256 of a file.

    Raises:
        FileChangedError: It has changed since it was found.
    """
    digest = hashlib.sha256()
    for block in file.blocks():
        digest.update(block)
    return HashedFile(file, digest.hexdigest())


def upload_group(
    client: ApiClient,
    project_id: str,
    group: Sequence[HashedFile],
    *,
    replaces: str = "",
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Batch:
    """Upload files in one request, as a stream, and return their batch without waiting for it.

    The Idempotency-Key follows from the project and the files. So if the same group is sent again after a crash, the
    answer is the batch of the first time. `replaces` is the id of a batch whose files were removed meanwhile, and makes
    another key. `on_bytes` is called with the number of bytes just sent; it is negative if they must be sent again.

    Raises:
        RequestRefusedError, ServerAwayError: As `ApiClient.send`.
        FileChangedError: A file has changed since it was found. The server keeps nothing of the request.
    """
    form = _MultipartForm(group)
    counted = 0

    def body() -> Iterator[bytes]:
        nonlocal counted
        on_bytes(-counted)
        counted = 0
        for block, file_bytes in form.blocks():
            yield block
            counted += file_bytes
            on_bytes(file_bytes)

    try:
        response = client.send(
            "POST",
            f"/ingestion/projects/{project_id}/upload_and_attach",
            params={"wait_seconds": 0, "keep_folders": "true"},
            headers={
                "Content-Type": f"multipart/form-data; boundary={form.boundary}",
                "Content-Length": str(form.length),
                "Idempotency-Key": _idempotency_key(project_id, group, replaces),
            },
            body=body,
        )
    except BaseException:
        on_bytes(-counted)
        raise
    answer = response.json()
    replayed = response.headers.get("idempotent-replayed") == "true"
    return Batch(answer["batch_id"], answer["file_counts"], answer["files"], is_replay=replayed)


def read_batch(client: ApiClient, project_id: str, batch_id: str) -> Batch:
    """Return a batch with all of its files. Files that were removed are counted as cancelled, and not listed."""
    path = f"/ingestion/projects/{project_id}/batches/{batch_id}"
    first = client.get(path)
    files = list(first["files"])
    while first["next_after"]:
        first = client.get(path, after=first["next_after"])
        files += first["files"]
    return Batch(batch_id, first["file_counts"], files)


def wait_for_batch(
    client: ApiClient,
    project_id: str,
    batch_id: str,
    *,
    seconds: float = inf,
    on_counts: Callable[[dict[str, int]], None] = lambda _: None,
) -> Batch:
    """Wait until no file of the batch is in progress or `seconds` are over, and return the batch.

    `on_counts` gets the counts after each look.
    """
    deadline = time.monotonic() + seconds
    pause = FIRST_LOOK_SECONDS
    while True:
        counts = client.get(f"/ingestion/projects/{project_id}/batches/{batch_id}", limit=1)["file_counts"]
        on_counts(counts)
        if not counts["in_progress"] or time.monotonic() > deadline:
            return read_batch(client, project_id, batch_id)
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_LOOK_SECONDS)


class _MultipartForm:
    """A form with one part for each file. Its length is known before the files are read."""

    def __init__(self, group: Sequence[HashedFile]) -> None:
        self.boundary = token_hex(16)
        self._files = [each.file for each in group]
        self._heads = [self._head(file.name) for file in self._files]
        self._end = f"--{self.boundary}--\r\n".encode()
        parts = zip(self._heads, self._files, strict=True)
        self.length = sum(len(head) + file.size + 2 for head, file in parts) + len(self._end)

    def blocks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the body, with the number of bytes of files in each block."""
        for head, file in zip(self._heads, self._files, strict=True):
            yield head, 0
            for block in file.blocks():
                yield block, len(block)
            yield b"\r\n", 0
        yield self._end, 0

    def _head(self, name: str) -> bytes:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "%0D").replace("\n", "%0A")
        return (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="files"; filename="{quoted}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()


def _idempotency_key(project_id: str, group: Sequence[HashedFile], replaces: str) -> str:
    digest = hashlib.sha256(f"{project_id} {replaces}".encode())
    for file, sha256 in group:
        digest.update(f"\n{sha256} {file.size} {file.name}".encode())
    return f"ingest-{digest.hexdigest()}"
