"""`cli.py eval`: measure search and answers on documents with known answers."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.connection import Url, connect
from fastapi_ignite.cli.evaluation.beir import is_beir, read_beir
from fastapi_ignite.cli.evaluation.datasets import Dataset
from fastapi_ignite.cli.evaluation.feedback import rated_questions
from fastapi_ignite.cli.evaluation.measures import require_libraries
from fastapi_ignite.cli.evaluation.question_files import read_question_folder
from fastapi_ignite.cli.evaluation.report import (
    COLUMNS,
    COMPARED_COLUMNS,
    Result,
    comparison_json,
    comparison_rows,
    read_result,
)
from fastapi_ignite.cli.evaluation.run import evaluate_documents, evaluate_project, file_names
from fastapi_ignite.cli.evaluation.tenant import evaluation_tenant
from fastapi_ignite.cli.output import Json, print_json, print_table
from fastapi_ignite.cli.projects import find_project
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import InvalidInputError

SHOWN_FAILURES = 10
# The variables of the other commands are not read here, so that no tenant is filled by mistake that is set for them.
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="IGNITE_EVAL_TOKEN",
        help="API key or token of the tenant to evaluate in. Prefer the variable: others can see command lines.",
    ),
]
Tenant = Annotated[
    UUID | None,
    typer.Option(
        "--tenant", help="Id of the tenant to evaluate in, if there is no token. Default: a tenant for evaluations."
    ),
]


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Folder in BEIR layout (corpus.jsonl, queries.jsonl, qrels), or with questions.jsonl or questions.csv "
            "beside documents/.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    *,
    questions: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="Ask at most this number of questions, spread evenly.")
    ] = None,
    search_only: Annotated[bool, typer.Option("--search-only", help="Search only; ask for no answers.")] = False,
    split: Annotated[str | None, typer.Option(help="Judgements to use: qrels/SPLIT.tsv. Default: test.")] = None,
    leave_out: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.99,
            help="Leave out this share of the documents, and expect refusals of the questions about them.",
        ),
    ] = None,
    together_by: Annotated[
        str | None,
        typer.Option(
            metavar="SEPARATOR", help="Leave out documents together if their ids are equal before the last separator."
        ),
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Take the project of the last run as it is. Nothing is processed again.")
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="Id or name of a project that holds the documents. Nothing is uploaded.")
    ] = None,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Ask the questions again whose answers in --project have feedback.")
    ] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A B", help="Compare two results with a paired test. Nothing is asked."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the result. Default: one in the data folder.")
    ] = None,
    url: Url = None,
    token: Token = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Measure search and answers on documents with known answers.

    The documents are uploaded over the HTTP API into a new project. This command creates a tenant without caps for it,
    unless --token or --tenant names another one. An interrupted run goes on when it is started again.
    """
    require_libraries()
    console = Console(highlight=False, soft_wrap=True, stderr=as_json)
    if compare is not None:
        _compare(*compare, as_json=as_json)
        return
    if feedback == (directory is not None) or (feedback and project is None):
        raise InvalidInputError("Give a folder to evaluate, or --feedback with --project, or --compare A B.")
    if project is None:
        dataset = _read(directory or Path(), split)
        if leave_out is not None:
            dataset = dataset.without_share(leave_out, together_by)
        with _connect(url, token, tenant) as client:
            result = evaluate_documents(
                client, _limited(dataset, questions), console, reuse=reuse, search_only=search_only
            )
    else:
        with connect(url, token, tenant) as client:
            project_id = str(find_project(client, project)["id"])
            if directory is None:
                dataset = Dataset(f"feedback of {project}", {}, rated_questions(client, project_id))
            else:
                dataset = read_question_folder(directory, file_names(client, project_id))
            result = evaluate_project(
                client, project_id, _limited(dataset, questions), console, search_only=search_only
            )
    _report(result, output, console, as_json=as_json)


def _read(directory: Path, split: str | None) -> Dataset:
    return read_beir(directory, split) if is_beir(directory) else read_question_folder(directory)


def _limited(dataset: Dataset, count: int | None) -> Dataset:
    return dataset if count is None else dataset.limited(count)


def _connect(url: str | None, token: str | None, tenant: UUID | None) -> ApiClient:
    """Return a client for the given tenant, or else for the evaluation's own, which must be of this installation."""
    if token is None and tenant is None:
        return connect(url, None, evaluation_tenant(get_settings()))
    return connect(url, token, tenant)


def _compare(first_path: Path, second_path: Path, *, as_json: bool) -> None:
    first, second = read_result(first_path), read_result(second_path)
    if as_json:
        print_json(comparison_json(first, second))
    else:
        print_table(COMPARED_COLUMNS, comparison_rows(first, second))


def _report(result: Result, output: Path | None, console: Console, *, as_json: bool) -> None:
    path = output or _default_output(str(result.about["dataset"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    written = result.to_json()
    path.write_text(json.dumps(written, ensure_ascii=False, indent=1), encoding="utf-8")
    if as_json:
        print_json(written)
    else:
        typer.echo(f"{result.about['dataset']}, {result.about['documents']} documents, engine {result.about['engine']}")
        print_table(COLUMNS, result.rows())
    failed = result.about["questions_not_answered"]
    for question_id, code in list(failed.items())[:SHOWN_FAILURES]:
        console.print(f"Not answered: {question_id} ({code})", markup=False)
    console.print(f"Result: {path}", markup=False)
    if failed:
        raise typer.Exit(1)


def _default_output(name: str) -> Path:
    safe = re.sub(r"[^\w.-]+", "-", name)
    return get_settings().ignite.data_dir / "evaluations" / f"{safe}-{time.strftime('%Y%m%d-%H%M%S')}.json"
