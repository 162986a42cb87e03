"""`cli.py jobs`: print every job and periodic job. The repository holds the output in a file."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature

import typer

from fastapi_ignite.infra.jobs import Job
from fastapi_ignite.tasks import JOBS, PERIODIC_JOBS

HEAD = """\
# Jobs

All jobs of the workers and all periodic jobs of the scheduler. How they work is in
[background-work.md](background-work.md). `python cli.py jobs` prints this page.
"""


def register(app: typer.Typer) -> None:
    app.command("jobs")(jobs)


def jobs() -> None:
    """Print every job and periodic job."""
    typer.echo("\n".join(_markdown()))


def _markdown() -> Iterator[str]:
    yield HEAD
    yield "## Jobs of the workers"
    yield ""
    yield "| job | queue | priority | arguments | what it does |"
    yield "| --- | --- | --- | --- | --- |"
    for job in JOBS:
        yield f"| `{job.name}` | `{job.queue}` | {job.priority.name.lower()} | {_arguments(job)} | {job.purpose} |"
    yield ""
    yield "## Periodic jobs of the scheduler"
    yield ""
    yield "| id | every | what it does |"
    yield "| --- | --- | --- |"
    for each in PERIODIC_JOBS:
        yield f"| `{each.name}` | {each.interval.replace('daily', 'day')} | {each.purpose} |"


def _arguments(job: Job) -> str:
    """Return the ids of the message; the first argument of a handler is the context."""
    _, *names = signature(job.handler).parameters
    return ", ".join(name.strip("_").removesuffix("_id") for name in names)
