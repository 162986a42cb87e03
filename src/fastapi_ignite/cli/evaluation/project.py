"""Creates the project of an evaluation, uploads the documents, and waits until they are embedded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.evaluation.datasets import Dataset
from fastapi_ignite.cli.file_uploads import LocalFile
from fastapi_ignite.cli.ingest_report import Outcome
from fastapi_ignite.cli.ingest_run import IngestRun
from fastapi_ignite.cli.progress import IngestProgress
from fastapi_ignite.core.errors import UnavailableError

FILES_OF_A_REQUEST = 200
THREADS = 2
LOOK_SECONDS = 1.0
# how long no new vector may appear before the evaluation gives up
STALL_SECONDS = 600
# Keys of the metadata of a project that is full, and the end of the name of one that is not.
DATASET, DOCUMENTS, FILLING = "evaluation", "documents_sha256", " (filling)"
LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class FilledProject:
    """A project with the documents in it. `unread` are the documents that could not be processed."""

    id: str
    unread: Sequence[Outcome]
    ingest_seconds: float
    embed_seconds: float


def fill_project(
    client: ApiClient, dataset: Dataset, folder: Path, *, reuse: bool, note: Callable[[str], None]
) -> FilledProject:
    """Return a project that holds the documents, every passage embedded.

    A project is made anew, so that the documents are processed by the code that runs now. One that an interrupted run
    has begun is filled further, and with `reuse` one that is full is taken as it is. The earlier projects of the data
    set are deleted once the new one is embedded: until then their vectors are taken for equal passages, so that only
    new passages are embedded. Bytes that are in no file are written to `folder` for the upload.
    """
    label = f"{dataset.name[:LONGEST_LABEL]} {dataset.digest[:12]}"
    earlier = [project for project in client.pages("/ingestion/projects", "projects") if _is_of(project, dataset.name)]
    ready = [project for project in earlier if project["metadata"].get(DOCUMENTS) == dataset.digest]
    # project names are unique, so this finds the project of an interrupted run
    chosen = ready[-1] if reuse and ready else client.post("/ingestion/projects/create", name=f"{label}{FILLING}")
    project_id = str(chosen["id"])
    began = time.monotonic()
    files = [_local_file(document.filename, document.content, folder) for document in dataset.documents.values()]
    unread = _ingest(client, project_id, files)
    ingested = time.monotonic()
    note("Waiting for the embeddings")
    _wait_for_embeddings(client, project_id)
    embedded = time.monotonic()
    change = {"name": f"{label} {project_id}", "metadata": {DATASET: dataset.name, DOCUMENTS: dataset.digest}}
    client.send(
        "PATCH",
        f"/ingestion/projects/{project_id}",
        headers={"Content-Type": "application/json"},
        body=lambda: [json.dumps(change).encode()],
    )
    for project in earlier:
        if project["id"] != project_id:
            client.send("DELETE", f"/ingestion/projects/{project['id']}")
    return FilledProject(project_id, unread, ingested - began, embedded - ingested)


def _is_of(project: Mapping[str, Any], name: str) -> bool:
    """Return whether an evaluation of this data set made the project, or has begun to fill it."""
    filling = project["name"].startswith(f"{name[:LONGEST_LABEL]} ") and project["name"].endswith(FILLING)
    return filling or bool(project["metadata"].get(DATASET) == name)


def _local_file(name: str, content: bytes | Path, folder: Path) -> LocalFile:
    if isinstance(content, Path):
        return LocalFile(content, name, content.stat().st_size)
    path = folder / name
    path.write_bytes(content)
    return LocalFile(path, name, len(content))


def _ingest(client: ApiClient, project_id: str, files: Sequence[LocalFile]) -> list[Outcome]:
    """Send what the project does not have, and return the files that could not be processed.

    Raises:
        IgniteError: the server takes no more files.
    """
    byte_count = sum(file.size for file in files)
    with IngestProgress(files=len(files), byte_count=byte_count, quiet=False) as progress:
        run = IngestRun(client, project_id, files, group_files=FILES_OF_A_REQUEST, retry_failed=True, progress=progress)
        run.start(THREADS)
        try:
            run.follow()
        except BaseException as error:
            run.stop(UnavailableError(str(error)))
            client.stop()
            raise
    if run.stopped_by is not None:
        raise run.stopped_by
    return [outcome for outcome in run.report.outcomes if outcome.is_failure]


def _wait_for_embeddings(client: ApiClient, project_id: str) -> None:
    """Look at the files, oldest first, until every one is embedded. Those that are need not be looked at again."""
    path = f"/ingestion/projects/{project_id}/files"
    after = None
    missing, moved_at = -1.0, time.monotonic()
    while True:
        waiting = 0.0
        page_start = after
        while True:
            page = client.get(path, limit=100, after=page_start)
            here = sum(1 - file["embedded"] for file in page["files"] if file["status"] == "completed")
            waiting += here
            if not page["has_more"]:
                break
            if waiting == 0:
                after = page["next_after"]
            page_start = page["next_after"]
        if waiting == 0:
            return
        if waiting != missing:
            missing, moved_at = waiting, time.monotonic()
        elif time.monotonic() > moved_at + STALL_SECONDS:
            raise UnavailableError(
                f"No passage was embedded for {STALL_SECONDS} s. Is a worker running, and its embedder set up? "
                "'python cli.py doctor' checks both. Run the same command again to go on."
            )
        time.sleep(LOOK_SECONDS)
