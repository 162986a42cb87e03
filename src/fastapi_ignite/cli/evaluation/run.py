"""Runs one evaluation: it uploads the documents, asks the questions, and puts the result together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.evaluation.datasets import Dataset
from fastapi_ignite.cli.evaluation.project import FilledProject, fill_project
from fastapi_ignite.cli.evaluation.questioning import Observed, Questioner
from fastapi_ignite.cli.evaluation.report import Result

SHOWN_FILES = 10
AWAY_SECONDS = 60
QUEUE_SECONDS = 3600  # a large collection has more files than a tenant may have unfinished


def evaluate_documents(
    client: ApiClient, dataset: Dataset, console: Console, *, reuse: bool, search_only: bool
) -> Result:
    """Upload the documents into a project of their own, and ask the questions."""
    client.patience_seconds, client.queue_seconds = AWAY_SECONDS, QUEUE_SECONDS
    with tempfile.TemporaryDirectory(prefix="ignite-eval-") as folder:
        project = fill_project(client, dataset, Path(folder), reuse=reuse, note=console.print)
    for outcome in project.unread[:SHOWN_FILES]:
        console.print(f"Not processed: {outcome.name} ({outcome.code}): {outcome.message}", markup=False)
    ids = {document.filename: document.id for document in dataset.documents.values()}
    questioner = Questioner(client, project.id, ids, asks=not search_only, delete_conversations=False)
    return _ask(questioner, dataset, console, {"tenant_id": _tenant(client), **_figures_of(project, dataset)})


def evaluate_project(
    client: ApiClient, project_id: str, dataset: Dataset, console: Console, *, search_only: bool
) -> Result:
    """Ask the questions of a project that holds the documents already. Their names are their ids.

    Each answer costs a message of the tenant's plan.
    """
    names = {name: name for name in file_names(client, project_id)}
    questioner = Questioner(client, project_id, names, asks=not search_only, delete_conversations=True)
    return _ask(
        questioner, dataset, console, {"tenant_id": _tenant(client), "project_id": project_id, "documents": len(names)}
    )


def file_names(client: ApiClient, project_id: str) -> list[str]:
    """Return the names of the project's files."""
    return [file["filename"] for file in client.pages(f"/ingestion/projects/{project_id}/files", "files")]


def _ask(questioner: Questioner, dataset: Dataset, console: Console, about: Mapping[str, Any]) -> Result:
    started = datetime.now(UTC)
    began = time.monotonic()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Asking", total=len(dataset.questions))
        observed = questioner.run(dataset.questions, lambda: progress.advance(task))
    return Result.of({**about, **_figures_of_questions(dataset, observed, started, time.monotonic() - began)}, observed)


def _tenant(client: ApiClient) -> str:
    return str(client.get("/tenants/current")["id"])


def _figures_of(project: FilledProject, dataset: Dataset) -> dict[str, Any]:
    return {
        "project_id": project.id,
        "documents": len(dataset.documents),
        "documents_sha256": dataset.digest,
        "documents_not_processed": {outcome.name: outcome.code for outcome in project.unread},
        "ingest_seconds": round(project.ingest_seconds, 1),
        "embed_seconds": round(project.embed_seconds, 1),
    }


def _figures_of_questions(dataset: Dataset, observed: Observed, started: datetime, seconds: float) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "questions": len(observed.by_question),
        "questions_not_answered": observed.failed,
        "engine": observed.engine,
        "started_at": started.isoformat(timespec="seconds"),
        "ask_seconds": round(seconds, 1),
    }
