"""`cli.py jobs`: print every job and periodic job. The repository holds the output in a file."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature

import typer

from fastapi_ignite.cli.output import Json, print_json
from fastapi_ignite.infra.jobs import Job
from fastapi_ignite.tasks import JOBS, PERIODIC_JOBS

HEAD = """\
# Jobs

All jobs of the workers and all periodic jobs of the scheduler. How they work is in
[background-work.md](background-work.md). `python cli.py jobs` prints this page.
"""


def register(app: typer.Typer) -> None:
    app.command("jobs")(jobs)


def jobs(*, as_json: Json = False) -> None:
    """Print every job and periodic job."""
    if as_json:
        print_json({"jobs": list(_jobs()), "periodic_jobs": list(_periodic_jobs())})
    else:
        typer.echo("\n".join(_markdown()))


def _jobs() -> Iterator[dict[str, str]]:
    for job in JOBS:
        yield {
            "name": job.name,
            "queue": job.queue,
            "priority": job.priority.name.lower(),
            "arguments": _arguments(job),
            "purpose": job.purpose,
        }


def _periodic_jobs() -> Iterator[dict[str, str]]:
    for job in PERIODIC_JOBS:
        yield {"name": job.name, "interval": job.interval, "purpose": job.purpose}


def _markdown() -> Iterator[str]:
    yield HEAD
    yield "## Jobs of the workers"
    yield ""
    yield "| job | queue | priority | arguments | what it does |"
    yield "| --- | --- | --- | --- | --- |"
    for job in _jobs():
        yield f"| `{job['name']}` | `{job['queue']}` | {job['priority']} | {job['arguments']} | {job['purpose']} |"
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
