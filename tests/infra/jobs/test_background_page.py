"""docs/background-work.md tells of the jobs that there are."""

from __future__ import annotations

import re

from fastapi_ignite.core.config import PROJECT_ROOT
from fastapi_ignite.tasks import JOBS, PERIODIC_JOBS

PAGE = (PROJECT_ROOT / "docs" / "background-work.md").read_text()


def test_every_job_stands_there_with_its_queue_and_priority() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `([a-z]+)` \| ([a-z]+) \|", PAGE, re.MULTILINE)
    assert rows == [(job.name, job.queue, job.priority.name.lower()) for job in JOBS]


def test_every_periodic_job_stands_there_with_its_interval() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+ s|day, [\d:]+) ", PAGE, re.MULTILINE)
    assert rows == [(job.name, job.interval.replace("daily", "day")) for job in PERIODIC_JOBS]
