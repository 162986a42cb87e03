"""`cli.py ingest`: send files and folders to a project."""

from __future__ import annotations

import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from fastapi_ignite.cli.api_client import ApiClient
from fastapi_ignite.cli.connection import Tenant, Token, Url, connect
from fastapi_ignite.cli.file_uploads import readable
from fastapi_ignite.cli.found_files import FoundFiles, find_files
from fastapi_ignite.cli.ingest_report import Outcome, reason_of
from fastapi_ignite.cli.ingest_run import IngestRun
from fastapi_ignite.cli.output import Json, plain, print_json, print_table
from fastapi_ignite.cli.progress import IngestProgress
from fastapi_ignite.cli.projects import find_project
from fastapi_ignite.core.errors import IgniteError

QUEUE_SECONDS = 3600  # how long to wait while the server accepts no more unfinished files
SHOWN_PAUSE_SECONDS = 5
SHOWN_NAMES = 10
INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command("ingest")(ingest)


def ingest(
    project: Annotated[str, typer.Argument(help="Id or name of the project.")],
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders, or patterns like 'docs/**/*.pdf'.")
    ],
    *,
    create: Annotated[bool, typer.Option("--create", help="Create the project if none has this name.")] = False,
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Number of uploads at the same time.")] = 4,
    files_per_request: Annotated[int, typer.Option(min=1, max=200, help="Largest number of files in one upload.")] = 50,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the files are processed.")] = True,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Process files again that have failed or were cancelled earlier.")
    ] = False,
    patience: Annotated[
        int, typer.Option(min=1, max=86400, help="For how many seconds to try again while the server is away.")
    ] = 60,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    url: Url = None,
    token: Token = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Send files and folders to a project, and say which files failed and why.

    It may be stopped at any time. Run it again to go on: what the project has already is not sent again. The exit code
    is 1 if a file failed or was not sent.
    """
    began = time.monotonic()
    found = find_files(paths)
    with connect(url, token, tenant) as client:
        project_id = find_project(client, project, create=create)["id"]
        client.patience_seconds, client.queue_seconds = patience, QUEUE_SECONDS
        byte_count = sum(file.size for file in found.files)
        with IngestProgress(files=len(found.files), byte_count=byte_count, quiet=quiet) as progress:
            client.on_pause = lambda seconds, reason: _note_pause(progress, seconds, reason)
            run = IngestRun(
                client,
                project_id,
                found.files,
                group_files=files_per_request,
                retry_failed=retry_failed,
                progress=progress,
            )
            interrupted = _carry_out(run, client, threads=parallel, wait=wait)
    if run.stopped_by and not isinstance(run.stopped_by, IgniteError):
        raise run.stopped_by  # an error of this program
    summary = _summary(project_id, found, run, seconds=time.monotonic() - began)
    if as_json:
        print_json(summary)
    else:
        _print(summary, run, interrupted=interrupted)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if summary["failures"] or run.stopped_by:
        raise typer.Exit(1)


@contextmanager
def _interruptible(run: IngestRun) -> Iterator[None]:
    """Have Ctrl-C end the run also where Python drops the exception, as in a destructor or a callback."""

    def interrupt(_number: int, _frame: object) -> None:
        run.interrupt()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _carry_out(run: IngestRun, client: ApiClient, *, threads: int, wait: bool) -> bool:
    """Send and follow the files. Return whether Ctrl-C ended that."""
    try:
        with _interruptible(run):
            run.start(threads)
            if wait:
                run.follow()
            else:
                run.wait_until_sent()
    except KeyboardInterrupt:
        run.stop(IgniteError("It was interrupted."))
        client.stop()
        return True
    except IgniteError as error:
        run.stop_and_wait(error)
    finally:
        run.report.end()
    return False


def _note_pause(progress: IngestProgress, seconds: float, reason: str) -> None:
    if seconds >= SHOWN_PAUSE_SECONDS:
        progress.note(f"Waiting {seconds:.0f} s: {reason}")


def _summary(project_id: str, found: FoundFiles, run: IngestRun, *, seconds: float) -> dict[str, Any]:
    outcomes = [
        *run.report.outcomes,
        *(
            Outcome(readable(each.path), readable(Path(each.path.name)), "failed", None, each.code, each.reason)
            for each in found.unusable
        ),
    ]
    statuses = Counter(outcome.status for outcome in outcomes)
    return {
        "project_id": project_id,
        "files": {
            "found": len(found.files) + len(found.empty) + len(found.unusable),
            "sent": run.report.sent,
            "already_there": run.report.already_there,
            "completed": statuses["completed"],
            "failed": statuses["failed"] + statuses["cancelled"],
            "in_progress": statuses["in_progress"],
            "not_sent": len(found.files) + len(found.unusable) - len(outcomes) + statuses["not_sent"],
            "empty": len(found.empty),
        },
        "bytes_found": sum(file.size for file in found.files),
        "seconds": round(seconds, 2),
        "stopped_by": None
        if run.stopped_by is None
        else dict(zip(("code", "message"), reason_of(run.stopped_by), strict=True)),
        "failures": [asdict(outcome) for outcome in outcomes if outcome.is_failure],
        "empty": [readable(path) for path in found.empty],
    }


def _print(summary: dict[str, Any], run: IngestRun, *, interrupted: bool) -> None:
    files = summary["files"]
    typer.echo(
        f"{files['found']:,} files found ({decimal(summary['bytes_found'])}): {files['sent']:,} sent, "
        f"{files['already_there']:,} were in the project already, in {summary['seconds']:,.1f} s."
    )
    print_table(
        ("completed", "failed", "in progress", "not sent", "empty"),
        [[f"{files[key]:,}" for key in ("completed", "failed", "in_progress", "not_sent", "empty")]],
    )
    _print_failures(summary["failures"])
    if files["empty"]:
        typer.echo(f"Empty files are not sent: {_names(summary['empty'])}")
    if interrupted:
        typer.echo("Interrupted. Run the same command again to go on; nothing is sent twice.")
    elif run.stopped_by:
        typer.echo(f"Stopped: {plain(reason_of(run.stopped_by)[1])} Run the same command again to go on.")


def _print_failures(failures: Sequence[dict[str, Any]]) -> None:
    by_code: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for failure in failures:
        by_code[failure["code"]].append(failure)
    for code, group in sorted(by_code.items(), key=lambda each: -len(each[1])):
        messages = {failure["message"] for failure in group}
        common = plain(group[0]["message"]) if len(messages) == 1 else ""
        typer.echo(f"{len(group):,} {'file' if len(group) == 1 else 'files'}, {plain(code)}: {common}".rstrip())
        for failure in group[:SHOWN_NAMES]:
            own = "" if common else f": {plain(failure['message'])}"
            typer.echo(f"    {plain(failure['path'])}{own}")
        if len(group) > SHOWN_NAMES:
            typer.echo(f"    and {len(group) - SHOWN_NAMES:,} more; --json lists all")


def _names(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - SHOWN_NAMES:,} more (--json lists all)" if len(paths) > SHOWN_NAMES else ""
    return plain(", ".join(paths[:SHOWN_NAMES])) + more
