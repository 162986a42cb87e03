"""Tests of a database or a disk that is unavailable, full or busy.

Each request gets a 503 with a code and `Retry-After`, and one line in the log.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fastapi_ignite.admin.authenticator import AdminAuthenticator
from fastapi_ignite.admin.service import AdminKeyService
from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs.leases import MAX_ATTEMPTS
from fastapi_ignite.infra.services import ServiceAddresses
from fastapi_ignite.infra.storage import LocalStorage
from fastapi_ignite.ingestion.processing import FileProcessor
from fastapi_ignite.rag.engines import build_engines
from support.databases import new_database
from support.http_clients import TenantClient, client_for, tenant_factory
from support.http_contract import problem
from support.outages import PASSWORD, BreakableDatabase, breakable_installation, logged, statuses
from support.tenant_records import eventually


@dataclass(frozen=True, slots=True)
class Installation:
    """Holds a tenant with a project and an API key, in an installation that a test can break."""

    database: BreakableDatabase
    tenant: TenantClient
    project: str
    api_key: dict[str, str]
    settings: Settings
    state: AppState

    async def reads(self) -> tuple[httpx2.Response, ...]:
        """Send requests that only read. Authentication looks up the tenant or the API key."""
        http = self.tenant.http
        return await asyncio.gather(
            self.tenant.get("/limits/current"),
            self.tenant.get("/usage/ledger"),
            self.tenant.search(self.project, "Where?"),
            http.get("/limits/current", headers=self.api_key),
            http.get("/plans/"),
        )

    async def writes(self) -> tuple[httpx2.Response, ...]:
        """Send requests that change something, in one transaction or in several."""
        http = self.tenant.http
        key = {"Idempotency-Key": str(uuid4())}
        return await asyncio.gather(
            self.tenant.post("/api-keys", json={"name": f"key {uuid4()}"}),
            http.post("/tenants/create", params={"name": "Acme", "plan_id": "hobby", "billing_cycle": "monthly"}),
            self.tenant.post("/ingestion/projects/create", params={"name": f"More {uuid4()}"}),
            self.tenant.upload(self.project, ("a.txt", b"Some text."), wait_seconds=0),
            self.tenant.ask(self.project, "Where?", headers=key),
        )


@pytest.fixture(scope="module")
def own_addresses(addresses: ServiceAddresses) -> Iterator[ServiceAddresses]:
    with new_database(addresses, template="template_migrated") as own:
        yield own


@pytest.fixture(scope="module")
async def installation(
    own_addresses: ServiceAddresses, settings: Settings, state: AppState
) -> AsyncGenerator[Installation]:
    async with (
        breakable_installation(own_addresses, settings, state) as (database, own_state),
        client_for(settings, own_state) as http,
    ):
        tenant = await tenant_factory(http, settings)()
        project = await tenant.create_project()
        made = await tenant.post("/api-keys", json={"name": "outage"})
        assert made.is_success, made.text
        key = {"Authorization": f"Bearer {made.json()['key']}"}
        yield Installation(database, tenant, project, key, settings, own_state)


@dataclass(frozen=True, slots=True)
class Failure:
    """Describes how the owner of the server breaks and repairs it. The test fills in `{login}` and `{name}`."""

    name: str
    breaks: str
    mends: str
    code: str = "unavailable"
    reads_fail: bool = True

    def __str__(self) -> str:
        return self.name


FAILURES = [
    Failure(
        "no connection left (53300)",
        "ALTER ROLE {login} CONNECTION LIMIT 0",
        "ALTER ROLE {login} CONNECTION LIMIT -1",
    ),
    Failure("a locked login (28000)", "ALTER ROLE {login} NOLOGIN", "ALTER ROLE {login} LOGIN"),
    Failure(
        "another password (28P01)",
        "ALTER ROLE {login} PASSWORD 'another'",
        f"ALTER ROLE {{login}} PASSWORD '{PASSWORD}'",
    ),
    Failure(
        "a database that takes no connections (55000)",
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        "ALTER DATABASE {name} ALLOW_CONNECTIONS true",
    ),
    Failure(
        "no database of this name (3D000)",
        "ALTER DATABASE {name} RENAME TO {name}_away",
        "ALTER DATABASE {name}_away RENAME TO {name}",
    ),
    Failure(
        "a standby (25006)",
        "ALTER DATABASE {name} SET default_transaction_read_only = on",
        "ALTER DATABASE {name} RESET default_transaction_read_only",
        "database_read_only",
        reads_fail=False,
    ),
]


@asynccontextmanager
async def broken(installation: Installation, failure: Failure) -> AsyncGenerator[None]:
    """Break the database. Open sessions would not notice the change, so they are ended, as by a restart."""
    database = installation.database

    async def run(statement: str) -> None:
        for pool in ("database", "admin_database"):
            await installation.state[pool].engine.dispose()
        await database.end_sessions()
        await database.owner(statement.format(login=database.login, name=database.name))
        await database.end_sessions()
        # the server ends a session a moment before the client notices it
        await installation.state["database"].engine.dispose()

    await run(failure.breaks)
    try:
        yield
    finally:
        await run(failure.mends)


@asynccontextmanager
async def failing_insertions(
    installation: Installation, table: str, rows: str = "", *, state: str = "53100"
) -> AsyncGenerator[None]:
    """Make PostgreSQL answer each insertion into the table with this SQLSTATE."""
    await answer_with(installation, state)
    await installation.database.inside(
        f"CREATE TRIGGER fail BEFORE INSERT ON {table} {rows} EXECUTE FUNCTION fail_now()"
    )
    try:
        yield
    finally:
        await installation.database.inside("DROP FUNCTION fail_now CASCADE")


async def answer_with(installation: Installation, state: str) -> None:
    await installation.database.inside(
        "CREATE OR REPLACE FUNCTION fail_now() RETURNS trigger LANGUAGE plpgsql AS "
        f"$f$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $f$"
    )


async def require_recovery(installation: Installation) -> None:
    """Wait until all requests succeed without a restart. A connection whose end is not noticed yet may fail one."""

    async def works() -> bool:
        answers = [
            *await installation.reads(),
            await installation.tenant.post("/api-keys", json={"name": f"key {uuid4()}"}),
        ]
        return not any(answer.status_code >= 500 for answer in answers)

    await eventually(works)


@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_a_database_that_does_not_work_is_no_defect(installation: Installation, failure: Failure) -> None:
    async with broken(installation, failure):
        with logged(installation.settings) as log:
            writes = [*await installation.writes(), *await installation.writes()]
            reads = [*await installation.reads(), *await installation.reads()]
    failed = [*writes, *reads] if failure.reads_fail else writes
    assert not any(answer.status_code >= 500 for answer in reads if answer not in failed), statuses(reads)
    for answer in failed:
        problem(answer, 503, failure.code)
        assert int(answer.headers["retry-after"]) >= 1
    # an ended session and a refused one are two kinds of outage, each with a traceback
    assert log.tracebacks == len(log.outages) >= 1, log.text
    # in a slow run, the last recorded use of the key is a minute old, so this line appears too
    refused = [line for line in log.failures() if "last use of a key not recorded" not in line]
    assert len(refused) == len(failed), log.text
    await require_recovery(installation)


async def test_a_standby_takes_keys_whose_use_should_be_noted(
    installation: Installation, own_addresses: ServiceAddresses
) -> None:
    (standby,) = (failure for failure in FAILURES if not failure.reads_fail)
    async with installation.state["admin_database"].operator() as session:
        _, admin_key = await AdminKeyService(session, installation.settings).create("outage", lifetime=None)
    await installation.database.inside("UPDATE api_keys SET last_used_at = NULL")
    async with broken(installation, standby):
        admin_database = Database(own_addresses.admin_url, pool_size=1)
        with logged(installation.settings) as log:
            answers = [
                await installation.tenant.http.get("/limits/current", headers=installation.api_key) for _ in range(2)
            ]
            assert await AdminAuthenticator(admin_database, installation.settings).authenticate(admin_key)
        await admin_database.close()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [line for line in log.failures() if "last use of a key not recorded" in line] == log.failures() != []


async def test_what_the_server_says_decides_on_the_code(installation: Installation) -> None:
    """PostgreSQL itself answers with each of these states."""
    codes = {
        **dict.fromkeys(("08006", "53200", "57P01", "57P03", "58030"), "unavailable"),
        **dict.fromkeys(("40001", "40P01", "55P03", "57014"), "database_busy"),
        "53100": "out_of_space",
    }
    async with failing_insertions(installation, "api_keys"):
        for state, code in codes.items():
            await answer_with(installation, state)
            answer = await installation.tenant.post("/api-keys", json={"name": f"key {uuid4()}"})
            problem(answer, 503, code)
            assert int(answer.headers["retry-after"]) >= 1


async def test_sessions_that_are_ended_in_the_middle_of_their_work(installation: Installation) -> None:
    """End the sessions before, between and within statements, as a restart does."""
    answers: list[httpx2.Response] = []
    with logged(installation.settings) as log:
        for _ in range(4):
            working = asyncio.gather(installation.reads(), installation.writes(), installation.reads())
            for _ in range(5):
                await installation.database.end_sessions()
            answers += [answer for group in await working for answer in group]
    for answer in answers:
        if answer.status_code >= 500:
            problem(answer, 503, "unavailable")
    assert any(answer.status_code == 503 for answer in answers), "nothing was ended in its middle"
    assert log.tracebacks <= len(log.outages), log.text
    await require_recovery(installation)


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
async def test_waiting_in_vain_for_others(installation: Installation, setting: str) -> None:
    limit = Failure(setting, f"ALTER ROLE {{login}} SET {setting} = '100ms'", f"ALTER ROLE {{login}} RESET {setting}")
    async with broken(installation, limit):
        owner = create_async_engine(installation.database.addresses.owner_url, poolclass=NullPool)
        async with owner.begin() as holding:
            await holding.execute(text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
            problem(await installation.tenant.post("/api-keys", json={"name": f"key {uuid4()}"}), 503, "database_busy")
        await owner.dispose()
    await require_recovery(installation)


async def test_an_answer_that_has_begun_ends_with_the_same_problem(installation: Installation) -> None:
    """If the database cannot store the answer, the last event of the stream is `error`."""
    before = (await installation.tenant.get("/limits/current")).json()
    async with (
        failing_insertions(installation, "messages", "FOR EACH ROW WHEN (NEW.role = 'assistant')"),
        installation.tenant.stream(installation.project, "Where?") as events,
    ):
        *_, (kind, told) = await events.until("error")
    assert (kind, told["status"], told["code"]) == ("error", 503, "out_of_space")
    assert told["retry_after_seconds"] >= 1
    assert (await installation.tenant.get("/limits/current")).json() == before, (
        "a question without an answer costs nothing"
    )


async def test_an_accepted_file_waits_until_the_database_has_space_again(installation: Installation) -> None:
    """The number of attempts in the meantime does not matter."""
    uploaded = await installation.tenant.upload(
        installation.project, ("guide.txt", b"The orchard has nine trees."), wait_seconds=0
    )
    file_id = uploaded.json()["files"][0]["id"]
    database = Database(installation.database.addresses.worker_url, pool_size=3)
    engines = build_engines(database, installation.settings)
    storage, jobs = installation.state["storage"], installation.state["jobs"]
    processor = FileProcessor(database=database, storage=storage, engines=engines, jobs=jobs)

    async def attempt() -> str:
        await installation.database.inside("UPDATE files SET lease_until = now()")  # ends the pause between attempts
        await processor.process(installation.tenant.id, UUID(file_id))
        listed = (await installation.tenant.get(f"/ingestion/projects/{installation.project}/files")).json()["files"]
        return str(next(file["status"] for file in listed if file["id"] == file_id))

    async with failing_insertions(installation, "documents"):
        assert [await attempt() for _ in range(MAX_ATTEMPTS + 1)] == ["in_progress"] * (MAX_ATTEMPTS + 1)
        noted = f"SELECT last_error ->> 'code', waits FROM files WHERE id = '{file_id}'"  # noqa: S608  the API made the id
        assert await installation.database.inside(noted) == [("out_of_space", MAX_ATTEMPTS + 1)]
    assert await attempt() == "completed"
    await database.close()


@contextmanager
def small_disk(folder: Path, *, kilobytes: int = 1024) -> Iterator[Path]:
    """Mount a small file system on a new folder, or skip the test if only root may do this."""
    folder.mkdir()
    mounted = subprocess.run(  # noqa: S603  mounts a folder of the test
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=0777", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount the small file system that this fills")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)  # noqa: S603  as above


async def test_an_upload_that_finds_the_disk_full_leaves_nothing(installation: Installation, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        state: AppState = {**installation.state, "storage": LocalStorage(disk)}
        async with client_for(installation.settings, state) as http:
            tenant = TenantClient(installation.tenant.id, http, installation.tenant.headers)
            before = (await tenant.get(f"/ingestion/projects/{installation.project}/files")).json()["files"]
            used = (await tenant.get("/limits/current")).json()
            fits, too_much = ("a.txt", b"Some text."), ("b.txt", b"x" * 3_000_000)
            ballast = disk / "ballast"
            with logged(installation.settings) as log:
                for ballast_bytes, files in (
                    (0, (fits, too_much)),
                    (0, (too_much,)),
                    (shutil.disk_usage(disk).free, (fits,)),
                ):
                    await asyncio.to_thread(ballast.write_bytes, b"x" * ballast_bytes)
                    answer = await tenant.upload(installation.project, *files, wait_seconds=0)
                    problem(answer, 503, "out_of_space")
                    assert int(answer.headers["retry-after"]) >= 1
                    assert [path for path in disk.rglob("*") if path.is_file()] == [ballast]
            ballast.unlink()
            assert log.tracebacks == 1
            assert len(log.failures()) == 3
            assert (await tenant.get(f"/ingestion/projects/{installation.project}/files")).json()["files"] == before
            assert (await tenant.get("/limits/current")).json() == used
            assert (await tenant.upload(installation.project, fits, wait_seconds=0)).is_success


async def test_a_full_disk_of_the_database(installation: Installation) -> None:
    """The test moves the table to a small file system, fills it and empties it again."""
    data = Path(str((await installation.database.owner("SHOW data_directory"))[0][0]))
    place, database = data.with_name(f"disk-{uuid4().hex}"), installation.database
    with small_disk(place) as disk:
        try:
            owner = await asyncio.to_thread(data.stat)
            os.chown(disk, owner.st_uid, owner.st_gid)
            await database.owner(f"CREATE TABLESPACE {database.login} LOCATION '{disk}'")
            await database.inside(f"ALTER TABLE tenants SET TABLESPACE {database.login}")
            ballast = disk / "ballast"
            await asyncio.to_thread(ballast.write_bytes, b"x" * (shutil.disk_usage(disk).free - 8192))
            answers = [
                await installation.tenant.http.post("/tenants/create", params={"name": "x" * 190, "plan_id": "hobby"})
                for _ in range(60)
            ]
            full = [answer for answer in answers if not answer.is_success]
            assert full
            for answer in full:
                problem(answer, 503, "out_of_space")
            ballast.unlink()
            await require_recovery(installation)
        finally:
            await database.inside("ALTER TABLE tenants SET TABLESPACE pg_default")
            await database.owner(f"DROP TABLESPACE IF EXISTS {database.login}")
    place.rmdir()
