"""Tests of the log lines of a job: which request id they have, and what they contain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog
from dramatiq import Message, MessageProxy
from dramatiq.middleware import TimeLimitExceeded

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.jobs import JobBroker, JobQueue, make_broker
from fastapi_ignite.infra.jobs.tracing import JobLogging
from support.http_clients import TenantClient, TenantFactory, client_for
from support.tenant_records import eventually

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(settings: Settings, caplog: pytest.LogCaptureFixture) -> Lines:
    """Return a function that returns the log lines so far, as dictionaries before they are rendered."""
    del settings
    caplog.set_level("INFO")
    return lambda: [record.msg for record in caplog.records if isinstance(record.msg, dict)]


@pytest.fixture
def broker() -> JobBroker:
    """Return a broker to which nobody connects."""
    return make_broker("redis://127.0.0.1:1/0")


async def upload(tenant: TenantClient, request_id: str) -> str:
    """Upload a file under a request id, and return the file's id."""
    project = await tenant.create_project()
    answer = await tenant.post(
        f"/ingestion/projects/{project}/upload_and_attach",
        headers={"X-Request-ID": request_id},
        params={"wait_seconds": 0},
        files=[("files", ("guide.txt", b"The orchard keeps nine apple trees."))],
    )
    file_id: str = answer.json()["files"][0]["id"]
    return file_id


async def completed(lines: Lines, request_id: str) -> dict[str, Any]:
    """Wait for the one line about a completed file that carries this request id."""

    def found() -> list[dict[str, Any]]:
        return [line for line in lines() if line["event"] == "file completed" and line.get("request_id") == request_id]

    async def there() -> bool:
        return bool(found())

    await eventually(there)
    (line,) = found()
    return line


@pytest.mark.usefixtures("worker")
async def test_the_workers_lines_about_an_upload_carry_the_requests_id(tenant: TenantClient, lines: Lines) -> None:
    request_id = f"upload-{new_id().hex}"
    file_id = await upload(tenant, request_id)
    line = await completed(lines, request_id)
    assert line["file_id"] == file_id

    def jobs(**values: object) -> list[dict[str, Any]]:
        return [job for job in lines() if job["event"] == "job" and values.items() <= job.items()]

    async def embedded() -> bool:
        return bool(jobs(job="ingestion.backfill_embeddings", request_id=request_id))

    await eventually(embedded)
    # the message may belong to another upload: for each message, the worker takes the file whose turn it is
    (ingested,) = jobs(message_id=line["message_id"])
    assert (ingested["job"], ingested["outcome"]) == ("ingestion.process_file", "done")
    assert ingested["milliseconds"] > 0


@pytest.mark.usefixtures("worker")
async def test_a_file_keeps_its_requests_id_when_the_message_of_another_brings_it(
    make_tenant: TenantFactory, settings: Settings, state: AppState, lines: Lines
) -> None:
    first, second = f"first-{new_id().hex}", f"second-{new_id().hex}"
    first_tenant, second_tenant = await make_tenant(), await make_tenant()
    async with client_for(settings, {**state, "jobs": JobQueue(make_broker("redis://127.0.0.1:1/0"))}) as client:
        waiting = await upload(TenantClient(first_tenant.id, client, first_tenant.headers), first)
    file_id = await upload(second_tenant, second)
    assert (await completed(lines, second))["file_id"] == file_id
    assert (await completed(lines, first))["file_id"] == waiting


def message(*arguments: str, **options: str) -> MessageProxy:
    return MessageProxy(Message("ingestion", "ingestion.process_file", arguments, {}, dict(options)))


def only_line_of(sent: MessageProxy, lines: Lines) -> dict[str, Any]:
    """Return the line about this message. A worker of another test may still log in this process."""
    (line,) = [each for each in lines() if each.get("message_id") == sent.message_id]
    return line


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
    context, sent = JobLogging(), message(identifier, "secret words", request_id="r-1")
    context.before_process_message(broker, sent)
    context.after_process_message(broker, sent, exception=error)
    line = only_line_of(sent, lines)
    assert "secret" not in str(line)
    assert (line["outcome"], line.get("error"), line["ids"]) == (outcome, named, [identifier])
    assert line["request_id"] == "r-1"


def test_a_message_knows_nothing_of_the_one_before(broker: JobBroker, lines: Lines) -> None:
    context, first, second = JobLogging(), message(request_id="r-1"), message()
    context.before_process_message(broker, first)
    structlog.contextvars.bind_contextvars(file_id="of the first")
    context.before_process_message(broker, second)
    context.after_skip_message(broker, second)
    line = only_line_of(second, lines)
    assert not {"request_id", "file_id"} & line.keys()
    assert structlog.contextvars.get_contextvars() == {}
