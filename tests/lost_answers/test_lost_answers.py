"""Whichever COMMIT of a request loses its answer, the request is carried out once, and its answer is true."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx2
import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.infra.db import Database, commit_outcome
from fastapi_ignite.infra.jobs import TaskContext
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.ingestion.tasks import end_expired_uploads, find_lost_files
from fastapi_ignite.main import open_state
from fastapi_ignite.query.tasks import fail_abandoned_questions
from fastapi_ignite.usage import tasks as usage_tasks
from support.commit_proxy import CommitProxy, Loss
from support.feature_contracts import contracts
from support.http_clients import TenantClient, TenantFactory, client_for
from support.tenant_records import counter, eventually, rows_of, stored_objects
from support.usage_records import books_of

pytestmark = pytest.mark.usefixtures("worker")
REPLAY = {"Prefer": "idempotency=replay"}
QUESTION = "How many apple trees does the orchard keep?"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A tenant whose requests reach PostgreSQL through a proxy that loses COMMITs."""

    tenant: TenantClient
    proxy: CommitProxy
    database: Database
    settings: Settings
    task_context: TaskContext

    def each_commit(self, loss: Loss) -> Iterator[int]:
        """Repeat the loop's body, and lose its first COMMIT, then its second, until it has no more COMMITs."""
        number = 0
        while True:
            self.proxy.lose(loss, after=number)
            yield number
            self.proxy.restore()
            if not self.proxy.lost:
                return
            number += 1

    async def upload(
        self, project: str, name: str, headers: dict[str, str] | None = None, *, wait_seconds: int = 0
    ) -> httpx2.Response:
        """Upload a file whose content depends on its name."""
        return await self.tenant.post(
            f"/ingestion/projects/{project}/upload_and_attach",
            headers=headers,
            params={"wait_seconds": wait_seconds},
            files=[("files", (name, self.content(name)))],
        )

    @staticmethod
    def content(name: str) -> bytes:
        return f"The orchard {name} keeps nine apple trees.".encode()

    async def files(self, project: str) -> dict[str, str]:
        """Return the status of each file by its name."""
        listed = await self.tenant.get(f"/ingestion/projects/{project}/files")
        return {file["filename"]: file["status"] for file in listed.json()["files"]}

    async def expire_leases(self) -> None:
        """Let leases and unsent messages expire, and run the jobs that then continue the work."""
        earlier = clock.now() - timedelta(minutes=11)
        for statement in (
            "UPDATE idempotency_keys SET lease_until = :earlier WHERE state = 'in_progress'",
            "UPDATE uploads SET lease_until = :earlier",
            "UPDATE usage_reservations SET expires_at = :earlier WHERE expires_at IS NOT NULL",
            "UPDATE messages SET created_at = :earlier WHERE state = 'pending'",
            "UPDATE files SET notified_at = :earlier WHERE state = 'queued' AND lease_until IS NULL",
        ):
            await rows_of(self.database, self.tenant.id, statement, earlier=earlier)
        for job in (fail_abandoned_questions, usage_tasks.end_expired, end_expired_uploads, find_lost_files):
            await job.run(self.task_context)

    async def check_final_state(self, project: str, names: list[str]) -> None:
        """Check that exactly these files are there, completed and charged, and that nothing else is held or stored."""

        async def done() -> bool:
            return set((await self.files(project)).values()) == {"completed"}

        await self.expire_leases()
        await eventually(done)
        listed = await self.tenant.get(f"/ingestion/projects/{project}/files")
        assert sorted(file["filename"] for file in listed.json()["files"]) == sorted(names)
        contents = sorted(self.content(name) for name in names)
        assert stored_objects(self.settings, self.tenant.id) == contents
        assert await counter(self.database, self.tenant.id, "characters") == (sum(map(len, contents)), 0)
        (usage,) = await rows_of(self.database, self.tenant.id, "SELECT * FROM storage_usage")
        held = (usage["reserved_bytes"], usage["reserved_files"], usage["unfinished_files"])
        assert (usage["stored_bytes"], held) == (sum(map(len, contents)), (0, 0, 0))


@pytest.fixture
async def scenario(
    make_tenant: TenantFactory,
    settings: Settings,
    task_context: TaskContext,
    addresses: ServiceAddresses,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Scenario]:
    monkeypatch.setattr(commit_outcome, "PATIENCE_SECONDS", 0.3)
    tenant = await make_tenant("pro")
    async with (
        CommitProxy(addresses.api_url) as proxy,
        open_state(settings, replace(addresses, api_url=proxy.url())) as opened,
        client_for(settings, opened) as client,
    ):
        proxied_tenant = TenantClient(tenant.id, client, tenant.headers)
        yield Scenario(proxied_tenant, proxy, database, settings, task_context)


class TestUpload:
    """An upload's bytes are the only copy, so they must not be deleted while the outcome of a COMMIT is unknown."""

    async def test_its_files_are_accepted_when_an_answer_is_lost(self, scenario: Scenario) -> None:
        project = await scenario.tenant.create_project()
        names = []
        for number in scenario.each_commit(Loss.ANSWER):
            names.append(f"{number}.txt")
            answer = await scenario.upload(project, names[-1])
            assert (answer.status_code, len(answer.json()["files"])) == (200, 1), answer.text
        assert len(names) >= 5
        await scenario.check_final_state(project, names)

    @pytest.mark.parametrize("loss", [Loss.ANSWER_AND_SERVER, Loss.COMMIT])
    async def test_sent_again_it_is_there_once(self, scenario: Scenario, loss: Loss) -> None:
        """The server cannot be asked what became of the COMMIT, or it never got the COMMIT."""
        project = await scenario.tenant.create_project()
        names, unknown = [], 0
        for number in scenario.each_commit(loss):
            names.append(f"{number}.txt")
            key = {"Idempotency-Key": names[-1]}
            first = await scenario.upload(project, names[-1], key)
            if scenario.proxy.lost:
                scenario.proxy.restore()
                assert first.status_code in {200, 503}, first.text
                unknown += first.json().get("code") == "commit_outcome_unknown"
                assert first.status_code == 200 or int(first.headers["retry-after"]) > 0
                again = await scenario.upload(project, names[-1], {**key, **REPLAY})
                assert (again.status_code, len(again.json()["files"])) == (200, 1), again.text
            assert len(stored_objects(scenario.settings, scenario.tenant.id)) == len(names), "its bytes are gone"
        assert unknown >= 2 if loss is Loss.ANSWER_AND_SERVER else unknown == 0
        await scenario.check_final_state(project, names)


class TestQuestion:
    """A question must be charged once, and its answer must not be lost."""

    async def test_it_is_answered_when_an_answer_is_lost(self, scenario: Scenario) -> None:
        project = await scenario.tenant.create_project()
        await scenario.upload(project, "a.txt", wait_seconds=30)
        for number in scenario.each_commit(Loss.ANSWER):
            answer = await scenario.tenant.ask(project, QUESTION)
            assert (answer.status_code, answer.json()["answerable"]) == (200, True), answer.text
            assert await counter(scenario.database, scenario.tenant.id, "messages") == (number + 1, 0)

    @pytest.mark.parametrize("loss", [Loss.ANSWER_AND_SERVER, Loss.COMMIT])
    async def test_asked_again_it_is_answered_and_charged_once(self, scenario: Scenario, loss: Loss) -> None:
        project = await scenario.tenant.create_project()
        await scenario.upload(project, "a.txt", wait_seconds=30)
        unknown = 0
        for number in scenario.each_commit(loss):
            key = {"Idempotency-Key": f"question-{number}"}
            first = await scenario.tenant.ask(project, QUESTION, headers=key)
            assert first.status_code in {200, 503}, first.text
            unknown += first.json().get("code") == "commit_outcome_unknown"
            if scenario.proxy.lost:
                scenario.proxy.restore()
                await scenario.expire_leases()
                again = await scenario.tenant.ask(project, QUESTION, headers={**key, **REPLAY})
                assert (again.status_code, again.json()["answerable"]) == (200, True), again.text
            assert await counter(scenario.database, scenario.tenant.id, "messages") == (number + 1, 0)
        if loss is Loss.COMMIT:  # the other loss also hits COMMITs of lookups and leases
            assert unknown == 0
        assert (await books_of(scenario.database, scenario.tenant.id)).add_up()


Operation = Callable[[TenantClient, str], Awaitable[httpx2.Response]]


async def create_project(tenant: TenantClient, name: str) -> httpx2.Response:
    return await tenant.post("/ingestion/projects/create", params={"name": name}, headers={"Idempotency-Key": name})


async def create_tenant(tenant: TenantClient, name: str) -> httpx2.Response:
    parameters = {"name": name, "plan_id": "hobby"}
    return await tenant.http.post("/tenants/create", params=parameters, headers={"Idempotency-Key": name})


OPERATIONS = [create_project, create_tenant, *(each.send for one in contracts().values() for each in one.repeatable)]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_is_made_once_is_told_when_an_answer_is_lost(scenario: Scenario, operation: Operation) -> None:
    for number in scenario.each_commit(Loss.ANSWER):
        answer = await operation(scenario.tenant, f"Number {number}".replace(" ", "-"))
        assert answer.is_success, answer.text
    assert (await books_of(scenario.database, scenario.tenant.id)).add_up()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_may_be_made_is_not_made_twice(scenario: Scenario, operation: Operation) -> None:
    for number in scenario.each_commit(Loss.ANSWER_AND_SERVER):
        first = await operation(scenario.tenant, f"number-{number}")
        if scenario.proxy.lost:
            scenario.proxy.restore()
            assert first.is_success or first.status_code == 503, first.text
            await scenario.expire_leases()
            again = await operation(scenario.tenant, f"number-{number}")
            expected = {"idempotency_duplicate"} if first.json().get("code") != "unavailable" else {None}
            assert again.json().get("code") in expected, (first.text, again.text)
    projects = await rows_of(scenario.database, scenario.tenant.id, "SELECT name FROM projects")
    assert len(projects) == len({row["name"] for row in projects})
