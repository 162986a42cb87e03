"""Tests of the caps on stored bytes, queued files and bytes in transfer. Nothing stays reserved after an upload."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from fastapi_ignite.core import clock
from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue
from fastapi_ignite.ingestion import upload_reservation
from fastapi_ignite.ingestion.upload_reservation import LEASE, end_expired_uploads
from support.both_engines import of_the_local_engine
from support.http_clients import TenantClient, TenantFactory, client_for
from support.multipart_bodies import HEADERS, LAST_BOUNDARY, WatchedBody, file_part, send_body
from support.tenant_records import eventually, partial_uploads, rows_of, stored_objects

pytestmark = of_the_local_engine  # no engine is called
KILOBYTE = 1000


@dataclass(frozen=True, slots=True)
class LimitedTenant:
    """Holds a tenant with low caps, whose uploads no worker processes."""

    tenant: TenantClient
    project: str
    settings: Settings
    database: Database

    async def usage(self) -> dict[str, int]:
        """Return the usage that the database counted."""
        rows = await rows_of(self.database, self.tenant.id, "SELECT * FROM storage_usage")
        counted = dict(rows[0])
        del counted["tenant_id"]
        return counted

    async def held(self) -> tuple[int, int]:
        """Return the reserved bytes and files of uploads in transfer."""
        usage = await self.usage()
        return usage["reserved_bytes"], usage["reserved_files"]

    async def check_usage(self) -> None:
        """Check that the counted usage equals the rows and the bytes on the disk, and that nothing is reserved."""
        rows = await rows_of(
            self.database,
            self.tenant.id,
            "SELECT coalesce(sum(byte_count) FILTER (WHERE storage_key IS NOT NULL), 0) AS stored, "
            "count(*) FILTER (WHERE state = 'queued') AS queued FROM files",
        )
        assert await self.usage() == {
            "stored_bytes": rows[0]["stored"],
            "unfinished_files": rows[0]["queued"],
            "reserved_bytes": 0,
            "reserved_files": 0,
        }
        assert sum(map(len, stored_objects(self.settings, self.tenant.id))) == rows[0]["stored"]
        assert partial_uploads(self.settings) == []
        assert await rows_of(self.database, self.tenant.id, "SELECT 1 FROM uploads") == []

    async def upload(self, *files: tuple[str, bytes]) -> httpx2.Response:
        return await self.tenant.upload(self.project, *files, wait_seconds=0)


LimitedTenantFactory = Callable[..., Any]


@pytest.fixture
async def make_limited_tenant(
    make_tenant: TenantFactory,
    settings: Settings,
    state: AppState,
    database: Database,
    unreachable_jobs: JobQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[LimitedTenantFactory]:
    """Return a function that makes a tenant with these limits. Uploads wait for each other only for a short time."""
    monkeypatch.setattr(upload_reservation, "PATIENCE_SECONDS", (0.1, 0.5))
    monkeypatch.setattr(upload_reservation, "PAUSE_SECONDS", 0.02)
    async with AsyncExitStack() as stack:

        async def make(**bounds: int) -> LimitedTenant:
            tight = settings.model_copy(update={"upload": settings.upload.model_copy(update=bounds)})
            client = await stack.enter_async_context(client_for(tight, {**state, "jobs": unreachable_jobs}))
            made = await make_tenant()
            tenant = TenantClient(made.id, client, made.headers)
            return LimitedTenant(tenant, await tenant.create_project(), tight, database)

        yield make


async def test_twenty_uploads_at_once_on_room_for_seven(make_limited_tenant: LimitedTenantFactory) -> None:
    limited = await make_limited_tenant(max_stored_bytes=7 * KILOBYTE)
    answers = await asyncio.gather(
        *(limited.upload((f"{number}.txt", f"{number:02}".encode() * 500)) for number in range(20))
    )
    codes = Counter(answer.json().get("code") for answer in answers)
    assert set(codes) == {None, "storage_quota_exceeded"}
    assert codes[None] <= 7
    await limited.check_usage()
    for number in range(20, 20 + 7 - codes[None]):  # the room that was only reserved is free again
        assert (await limited.upload((f"{number}.txt", f"{number:02}".encode() * 500))).status_code == 200
    assert (await limited.usage())["stored_bytes"] == 7 * KILOBYTE
    full = await limited.upload(("last.txt", b"x"))
    assert (full.status_code, full.json()["used"], full.json()["cap"]) == (402, 7 * KILOBYTE, 7 * KILOBYTE)
    assert "retry-after" not in full.headers, "waiting does not help"


async def test_twenty_uploads_of_three_files_on_a_queue_of_ten(make_limited_tenant: LimitedTenantFactory) -> None:
    limited = await make_limited_tenant(max_queued_files=10)
    answers = await asyncio.gather(
        *(limited.upload(*((f"{number}-{each}.txt", b"text") for each in range(3))) for number in range(20))
    )
    codes = Counter(answer.json().get("code") for answer in answers)
    assert set(codes) == {None, "too_many_files_in_progress"}
    await limited.check_usage()
    queued = (await limited.usage())["unfinished_files"]
    assert queued == 3 * codes[None] <= 10


async def test_a_body_that_passes_the_cap_is_cut_off(make_limited_tenant: LimitedTenantFactory) -> None:
    """The length of the body is not declared, and its first file has arrived whole."""
    limited = await make_limited_tenant(max_stored_bytes=1500)
    body = WatchedBody(file_part("whole.txt", b"x" * 900), file_part("big.txt", b"")[:-2], *[b"x" * 400] * 50)
    answer = await send_body(limited.tenant, limited.project, body)
    assert (answer.status_code, answer.json()["code"]) == (402, "storage_quota_exceeded")
    assert body.taken == 4
    assert stored_objects(limited.settings, limited.tenant.id) == []
    await limited.check_usage()


async def test_one_file_too_many_for_the_queue_is_cut_off(make_limited_tenant: LimitedTenantFactory) -> None:
    limited = await make_limited_tenant(max_queued_files=3)
    body = WatchedBody(*(file_part(f"{number}.txt", b"text") for number in range(50)), LAST_BOUNDARY)
    answer = await send_body(limited.tenant, limited.project, body)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_files_in_progress")
    assert body.taken == 4
    await limited.check_usage()


async def test_the_repetition_of_what_took_the_last_room_is_told_so(make_limited_tenant: LimitedTenantFactory) -> None:
    """The first answer was lost. Without the key, the caller would believe that nothing was accepted."""
    limited = await make_limited_tenant(max_stored_bytes=KILOBYTE, max_queued_files=1)
    path = f"/ingestion/projects/{limited.project}/upload_and_attach?wait_seconds=0"
    key, replay = {"Idempotency-Key": "last"}, {"Prefer": "idempotency=replay"}
    files = [("files", ("a.txt", b"x" * KILOBYTE))]
    first = await limited.tenant.post(path, headers=key, files=files)
    again = await limited.tenant.post(path, headers=key | replay, files=files)
    assert (again.status_code, again.content) == (200, first.content)
    again = await limited.tenant.post(path, headers=key, files=files)
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_duplicate")
    other = await limited.tenant.post(path, headers=key, files=[("files", ("a.txt", b"other"))])
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    new = await limited.tenant.post(path, headers={"Idempotency-Key": "new"}, files=files)
    assert (new.status_code, new.json()["code"]) == (402, "storage_quota_exceeded")
    await limited.check_usage()


class StalledBody:
    """Sends its pieces, and sends the end of the body when the test sets `may_end`."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.waiting, self.may_end = asyncio.Event(), asyncio.Event()

    async def pieces(self) -> AsyncGenerator[bytes]:
        for piece in self._pieces:
            yield piece
        self.waiting.set()
        await self.may_end.wait()
        yield LAST_BOUNDARY

    def send(self, limited: LimitedTenant) -> asyncio.Task[httpx2.Response]:
        """Start the upload, and return its task."""
        path = f"/ingestion/projects/{limited.project}/upload_and_attach"
        return asyncio.create_task(
            limited.tenant.post(path, content=self.pieces(), headers=HEADERS, params={"wait_seconds": 0})
        )


async def test_bytes_on_their_way_are_bounded(make_limited_tenant: LimitedTenantFactory) -> None:
    limited = await make_limited_tenant(max_request_bytes=5 * KILOBYTE, max_in_flight_bytes=5 * KILOBYTE)
    slow = StalledBody(file_part("slow.txt", b"x" * 3 * KILOBYTE))
    first = slow.send(limited)
    await slow.waiting.wait()
    refused = await limited.upload(("big.txt", b"x" * 4 * KILOBYTE))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_bytes_in_flight")
    assert int(refused.headers["retry-after"]) > 0
    assert (await limited.upload(("small.txt", b"x" * KILOBYTE))).status_code == 200
    slow.may_end.set()
    assert (await first).status_code == 200
    assert (await limited.upload(("big.txt", b"x" * 4 * KILOBYTE))).status_code == 200
    await limited.check_usage()


async def test_room_that_another_upload_only_holds_may_come_back(make_limited_tenant: LimitedTenantFactory) -> None:
    limited = await make_limited_tenant(max_stored_bytes=5 * KILOBYTE)
    slow = StalledBody(file_part("slow.txt", b"x" * 3 * KILOBYTE))
    first = slow.send(limited)
    await slow.waiting.wait()
    held = await limited.upload(("big.txt", b"x" * 4 * KILOBYTE))
    assert (held.status_code, held.json()["code"]) == (402, "storage_quota_exceeded")
    assert int(held.headers["retry-after"]) > 0
    slow.may_end.set()
    assert (await first).status_code == 200
    await limited.check_usage()


async def test_what_an_upload_holds_grows_with_it(make_limited_tenant: LimitedTenantFactory) -> None:
    """A body of unknown length reserves neither all of the room at once, nor each block in its own transaction."""
    limited = await make_limited_tenant(max_stored_bytes=100_000 * KILOBYTE)
    slow = StalledBody(file_part("slow.txt", b"")[:-2], *[b"x" * 50 * KILOBYTE] * 20, b"\r\n")
    first = slow.send(limited)
    await slow.waiting.wait()
    held, _ = await limited.held()
    assert 1000 * KILOBYTE <= held <= 3000 * KILOBYTE
    slow.may_end.set()
    assert (await first).status_code == 200
    await limited.check_usage()


class TestUploadOfADeadProcess:
    """These tests cover an upload whose process was killed while the body arrived."""

    async def test_what_it_held_is_given_to_others(
        self, make_limited_tenant: LimitedTenantFactory, database: Database
    ) -> None:
        limited = await make_limited_tenant(max_stored_bytes=5 * KILOBYTE)
        body = StalledBody(file_part("slow.txt", b"x" * 3 * KILOBYTE))
        upload = body.send(limited)
        await body.waiting.wait()
        await self._expire(limited, database)
        assert await limited.held() == (0, 0)
        assert (await limited.upload(("big.txt", b"x" * 4 * KILOBYTE))).status_code == 200
        body.may_end.set()
        answer = await upload
        assert (answer.status_code, answer.json()["code"]) == (503, "upload_expired")
        assert int(answer.headers["retry-after"]) > 0
        await limited.check_usage()
        assert [file["filename"] for file in await self._listed(limited)] == ["big.txt"]

    async def test_one_alive_is_left_alone(self, make_limited_tenant: LimitedTenantFactory, database: Database) -> None:
        limited = await make_limited_tenant()
        body = StalledBody(file_part("slow.txt", b"x" * 3 * KILOBYTE))
        upload = body.send(limited)
        await body.waiting.wait()
        held = await limited.held()
        async with database.system() as session:
            await end_expired_uploads(session, now=clock.now())
        assert await limited.held() == held
        body.may_end.set()
        assert (await upload).status_code == 200

    async def test_a_caller_who_leaves_holds_nothing(self, make_limited_tenant: LimitedTenantFactory) -> None:
        limited = await make_limited_tenant()
        body = StalledBody(file_part("slow.txt", b"x" * 3 * KILOBYTE))
        upload = body.send(limited)
        await body.waiting.wait()
        upload.cancel()

        async def nothing_held() -> bool:
            return bool(await limited.held() == (0, 0))

        await eventually(nothing_held)
        await limited.check_usage()

    @staticmethod
    async def _expire(limited: LimitedTenant, database: Database) -> None:
        """End the uploads of this tenant, as if their process had been silent for a minute."""
        earlier = clock.now() - LEASE
        await rows_of(limited.database, limited.tenant.id, "UPDATE uploads SET lease_until = :then", then=earlier)
        async with database.system() as session:
            await end_expired_uploads(session, now=clock.now())

    @staticmethod
    async def _listed(limited: LimitedTenant) -> list[dict[str, Any]]:
        listed = await limited.tenant.get(f"/ingestion/projects/{limited.project}/files")
        files: list[dict[str, Any]] = listed.json()["files"]
        return files


async def test_whatever_changes_a_file_changes_the_figures(make_limited_tenant: LimitedTenantFactory) -> None:
    limited = await make_limited_tenant()
    await limited.upload(("a.txt", b"one"), ("b.txt", b"twos"), ("c.txt", b"three"))
    figures = {
        "state = 'completed'": (12, 0),
        "state = 'indexing'": (12, 3),
        "storage_key = NULL WHERE filename = 'a.txt'": (9, 3),
        "bytes_missing_at = now() WHERE filename = 'b.txt'": (5, 3),
        "storage_key = NULL WHERE filename = 'b.txt'": (5, 3),
        "state = 'failed' WHERE filename = 'c.txt'": (5, 2),
    }
    for change, expected in figures.items():
        await rows_of(limited.database, limited.tenant.id, f"UPDATE files SET {change}")  # noqa: S608  the changes are written above
        usage = await limited.usage()
        assert (usage["stored_bytes"], usage["unfinished_files"]) == expected, change
    await rows_of(limited.database, limited.tenant.id, "DELETE FROM files")
    usage = await limited.usage()
    assert (usage["stored_bytes"], usage["unfinished_files"]) == (0, 0)
