"""Whose request a job's log lines belong to, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog
from dramatiq import Message, MessageProxy
from dramatiq.middleware import TimeLimitExceeded
from sqlalchemy import update

from bookkeeping import eventually
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobBroker, make_broker
from fastapi_ignite.infra.jobs.tracing import JobContext
from fastapi_ignite.ingestion.models import UNFINISHED, File, FileState
from http_clients import TenantClient

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(settings: Settings, caplog: pytest.LogCaptureFixture) -> Lines:
    """What was logged so far, as the pipeline that `settings` configured hands it on to be rendered."""
    del settings
    caplog.set_level("INFO")
    return lambda: [record.msg for record in caplog.records if isinstance(record.msg, dict)]


@pytest.fixture
def broker() -> JobBroker:
    """Nobody connects to it."""
    return make_broker("redis://127.0.0.1:1/0")


@pytest.mark.usefixtures("worker")
async def test_the_workers_lines_about_an_upload_carry_the_requests_id(
    tenant: TenantClient, database: Database, lines: Lines
) -> None:
    async with database.system() as session:  # what other tests left waiting would have its turn first
        await session.execute(update(File).where(File.state.in_(UNFINISHED)).values(state=FileState.CANCELLED))
    request_id = f"upload-{new_id().hex}"
    project = await tenant.create_project()
    upload = await tenant.post(
        f"/ingestion/projects/{project}/upload_and_attach",
        headers={"X-Request-ID": request_id},
        files=[("files", ("guide.txt", b"The orchard keeps nine apple trees."))],
    )
    file_id = upload.json()["files"][0]["id"]

    def of_jobs(event: str) -> list[dict[str, Any]]:
        return [line for line in lines() if line["event"] == event and line.get("request_id") == request_id]

    async def embedded() -> bool:
        return any(line["job"] == "ingestion.sharpen" for line in of_jobs("job"))

    await eventually(embedded)
    (completed,) = [line for line in of_jobs("file completed") if line["file_id"] == file_id]
    (ingested,) = [line for line in of_jobs("job") if line["message_id"] == completed["message_id"]]
    assert (ingested["job"], ingested["outcome"]) == ("ingestion.process_file", "done")
    assert ingested["milliseconds"] > 0


def message(*arguments: str, **options: str) -> MessageProxy:
    return MessageProxy(Message("ingestion", "ingestion.process_file", arguments, {}, dict(options)))


@pytest.mark.parametrize(
    ("error", "outcome", "named"),
    [
        (None, "done", None),
        (ValueError("secret words"), "failed", "ValueError"),
        (TimeLimitExceeded(), "interrupted", "TimeLimitExceeded"),
    ],
)
def test_a_job_is_one_line_with_its_outcome_and_no_words(
    broker: JobBroker, lines: Lines, error: Exception | None, outcome: str, named: str | None
) -> None:
    identifier = str(new_id())
    context, sent = JobContext(), message(identifier, "secret words", request_id="r-1")
    context.before_process_message(broker, sent)
    context.after_process_message(broker, sent, exception=error)
    (line,) = lines()
    assert "secret" not in str(line)
    assert (line["outcome"], line.get("error"), line["ids"]) == (outcome, named, [identifier])
    assert (line["request_id"], line["message_id"]) == ("r-1", sent.message_id)


def test_a_message_knows_nothing_of_the_one_before(broker: JobBroker, lines: Lines) -> None:
    context, first, second = JobContext(), message(request_id="r-1"), message()
    context.before_process_message(broker, first)
    structlog.contextvars.bind_contextvars(file_id="of the first")
    context.before_process_message(broker, second)
    context.after_skip_message(broker, second)
    (line,) = lines()
    assert line["message_id"] == second.message_id
    assert not {"request_id", "file_id"} & line.keys()
    assert structlog.contextvars.get_contextvars() == {}
