"""Tests that the folder and the bucket keep the same promises, on a real disk and on a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from uuid import uuid4

import certifi
import httpx2
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import SecretStr

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.connection_sections import S3Settings, StorageSettings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.outages import StorageUnavailableError, outage_of
from fastapi_ignite.http.state import AppState
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.jobs import JobQueue, make_broker
from fastapi_ignite.infra.storage import LocalStorage, Storage, s3, s3_unfinished
from fastapi_ignite.infra.storage.backends import open_storage, verify_storage
from fastapi_ignite.infra.storage.s3 import S3Storage
from fastapi_ignite.infra.storage.s3_bucket import Bucket
from fastapi_ignite.infra.storage.s3_writer import PART_BYTES
from fastapi_ignite.ingestion.processing import FileProcessor
from support.http_clients import TenantClient, TenantFactory, client_for
from support.object_store import ObjectStore, running_object_store

MakeStorage = Callable[[], Storage]
TENANT = str(uuid4())
MEGABYTE = b"0123456789abcdef" * 2**16


def key_of(name: str) -> str:
    return f"{TENANT}/{uuid4()}/{name}"


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    """Return the server that the tests of this module share. Each test has a bucket of its own."""
    with pytest.MonkeyPatch.context() as changed, running_object_store() as store:
        # the library makes no client without certificates, and the suite hides those of the machine
        changed.setenv("SSL_CERT_FILE", certifi.where())
        yield store


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path)
    store: ObjectStore = request.getfixturevalue("object_store")
    return S3Storage(store.new_bucket(), tmp_path / "copies")


async def store_object(storage: Storage, key: str, *blocks: bytes) -> None:
    writer = await storage.writer(key)
    for block in blocks:
        await writer.write(block)
    await writer.finish()


async def content_of(storage: Storage, key: str, *, start: int = 0, length: int | None = None) -> bytes:
    async with aclosing(await storage.read(key, start=start, length=length)) as blocks:
        return b"".join([block async for block in blocks])


async def keys_after(storage: Storage, after: str) -> list[str]:
    async with aclosing(storage.objects(after=after)) as pages:
        return [each.key async for page in pages for each in page]


@pytest.mark.parametrize("megabytes", [0, 1, 8, 19], ids="{}MB".format)
async def test_an_object_is_visible_only_when_it_is_whole(storage: Storage, megabytes: int) -> None:
    key = key_of("a.b")
    writer = await storage.writer(key)
    for _ in range(megabytes):
        await writer.write(MEGABYTE)
    assert not await storage.exists(key)
    stored = await writer.finish()
    await writer.abort()
    whole = MEGABYTE * megabytes
    assert (stored.key, stored.byte_count, stored.sha256) == (key, len(whole), hashlib.sha256(whole).digest())
    assert await storage.exists(key)
    assert await content_of(storage, key) == whole
    async with storage.local_copy(key) as path:
        assert path.read_bytes() == whole


@pytest.mark.parametrize("megabytes", [1, 19])
async def test_what_is_aborted_leaves_nothing(storage: Storage, megabytes: int) -> None:
    key = key_of("a.b")
    writer = await storage.writer(key)
    for _ in range(megabytes):
        await writer.write(MEGABYTE)
    await writer.abort()
    assert not await storage.exists(key)
    assert await keys_after(storage, "") == []
    if isinstance(storage, S3Storage):
        assert await unfinished_keys(storage) == []


async def unfinished_keys(storage: S3Storage) -> list[str]:
    async with httpx2.AsyncClient() as http:
        return [each.key async for each in s3_unfinished._unfinished(storage._bucket, http)]


@pytest.mark.parametrize(
    ("start", "length"), [(0, None), (0, 1), (3, 4), (7, None), (9, 99), (10, None), (99, None), (4, 0), (0, 0)]
)
async def test_a_range_is_read_as_a_slice_is(storage: Storage, start: int, length: int | None) -> None:
    key = key_of("digits")
    await store_object(storage, key, b"0123456789")
    assert await content_of(storage, key, start=start, length=length) == b"0123456789"[start:][:length]


async def test_what_is_missing_is_said(storage: Storage) -> None:
    key = key_of("missing")
    await storage.delete(key)
    assert not await storage.exists(key)
    for bounds in ({}, {"start": 1}, {"length": 0}):
        with pytest.raises(FileNotFoundError):
            await content_of(storage, key, **bounds)
    await store_object(storage, key, b"now")
    await storage.delete(key)
    assert not await storage.exists(key)
    assert await keys_after(storage, "") == []


async def test_objects_are_listed_in_the_order_of_their_keys(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PAGE_OBJECTS", 3)
    keys = sorted(f"{a}/{b}/{c}" for a in ("a", "a-b", "a.b") for b in ("x", "X-y") for c in ("0", "0.z", "Z"))
    began = datetime.now(UTC) - timedelta(minutes=1)
    for key in reversed(keys):
        await store_object(storage, key, b"1")
    for after in ("", keys[0], keys[7], "a-b/", keys[-1]):
        assert await keys_after(storage, after) == [key for key in keys if key > after]
    async with aclosing(storage.objects(after="")) as pages:
        times = [each.stored_at async for page in pages for each in page]
    assert all(began < stored_at < began + timedelta(minutes=10) for stored_at in times)


WRITE_AND_WAIT = """
import asyncio, sys
from pathlib import Path
from fastapi_ignite.core.config import load_settings
from fastapi_ignite.infra.storage.backends import open_storage

async def main():
    writer = await open_storage(load_settings(env_file=None)).writer(sys.argv[1])
    for _ in range(30):
        await writer.write(b"x" * 2**20)
    print("written", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("backend", ["local", "s3"])
async def test_a_killed_writer_leaves_no_object(
    backend: str, settings: Settings, object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket = object_store.new_bucket()
    variables = {"STORAGE_BACKEND": backend, "IGNITE_DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    if backend == "s3":
        variables |= {
            "S3_BUCKET": bucket.bucket or "",
            "S3_ENDPOINT_URL": object_store.url,
            "S3_ALLOW_HTTP": "true",
            "S3_ACCESS_KEY_ID": "test-key",
            "S3_SECRET_ACCESS_KEY": "not-a-secret",
            "S3_PREFIX": bucket.prefix,
        }
    key = key_of("killed")
    with subprocess.Popen(  # noqa: ASYNC220, S603  a start takes no time; our own arguments
        [sys.executable, "-c", WRITE_AND_WAIT, key], stdout=subprocess.PIPE, env={**os.environ, **variables}
    ) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"written\n"
        process.kill()
    ours = settings.model_copy(
        update={
            "storage": StorageSettings(backend="s3" if backend == "s3" else "local"),
            "s3": bucket,
            "ignite": settings.ignite.model_copy(update={"data_dir": tmp_path}),
        }
    )
    storage = open_storage(ours)
    assert not await storage.exists(key)
    assert await keys_after(storage, "") == []
    for left in (tmp_path / "storage").glob("incoming/*"):
        os.utime(left, (0, time.time() - 7200))
    assert await storage.remove_abandoned() == 1
    assert await storage.remove_abandoned() == 0


class TestTheBucket:
    @pytest.fixture
    def bucket(self, object_store: ObjectStore) -> S3Settings:
        return object_store.new_bucket()

    @pytest.fixture
    def storage(self, bucket: S3Settings, tmp_path: Path) -> S3Storage:
        return S3Storage(bucket, tmp_path / "copies")

    async def test_a_copy_is_private_and_does_not_stay(self, storage: S3Storage, tmp_path: Path) -> None:
        key = key_of("secret")
        await store_object(storage, key, b"of one tenant")
        left = tmp_path / "copies" / "of a killed worker"
        left.parent.mkdir(mode=0o700)
        left.write_bytes(b"old")
        os.utime(left, (0, time.time() - 7200))
        async with storage.local_copy(key) as path:
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
            assert list(path.parent.iterdir()) == [path]
        assert list(path.parent.iterdir()) == []

    async def test_others_and_young_uploads_stay(
        self, storage: S3Storage, bucket: S3Settings, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The simulated server says of every upload that it began in 2010."""
        ours, others = key_of("ours"), ("ignite/files/somebody/else", f"elsewhere/{key_of('x')}")
        for key in (f"ignite/files/{ours}", *others):
            object_store.request("POST", f"/{bucket.bucket}/{key}?uploads", b"")
        with monkeypatch.context() as changed:
            changed.setattr(s3_unfinished, "ABANDONED_AFTER", timedelta(days=36500))
            assert await storage.remove_abandoned() == 0
        assert await storage.remove_abandoned() == 1
        whole = S3Storage(bucket.model_copy(update={"prefix": ""}), Path("unused"))
        assert sorted(await unfinished_keys(whole)) == sorted(others)

    @pytest.mark.parametrize("action", ["exists", "delete", "read", "write", "list", "sweep"])
    async def test_a_missing_bucket_is_never_a_missing_object(
        self, object_store: ObjectStore, tmp_path: Path, action: str
    ) -> None:
        storage = S3Storage(object_store.settings("not-there"), tmp_path)
        with pytest.raises(OSError, match=r"bucket does not exist|status 404") as raised:
            await act(storage, action)
        assert not isinstance(raised.value, FileNotFoundError)
        outage = outage_of(raised.value)
        assert outage is not None
        assert (outage.error, outage.lasting) == (StorageUnavailableError, True)

    async def test_a_missing_bucket_refuses_the_start(self, settings: Settings, object_store: ObjectStore) -> None:
        changed = settings.model_copy(
            update={"storage": StorageSettings(backend="s3"), "s3": object_store.settings("not-there")}
        )
        with pytest.raises(ConfigurationError, match="S3_BUCKET: S3: the bucket does not exist"):
            await verify_storage(changed, open_storage(changed))

    async def test_wrong_keys_are_refused_and_right_ones_sign_every_request(
        self, bucket: S3Settings, object_store: ObjectStore, tmp_path: Path
    ) -> None:
        """The server checks signatures here, but it can check none that is in a URL."""
        right = object_store.new_keys(bucket)
        wrong = right.model_copy(update={"secret_access_key": SecretStr("another-secret")})
        with object_store.checking_signatures():
            storage = S3Storage(right, tmp_path)
            key = key_of("a b")
            await storage.check()
            await store_object(storage, key, *[MEGABYTE] * 9)
            assert len(await content_of(storage, key)) == len(MEGABYTE) * 9
            assert await keys_after(storage, "") == [key]
            await storage.delete(key)
            refused = S3Storage(wrong, tmp_path)
            for action in ("exists", "delete", "read", "write", "list"):
                with pytest.raises(OSError, match="refuses") as raised:
                    await act(refused, action)
                assert not isinstance(raised.value, FileNotFoundError)
                assert "another-secret" not in str(raised.value)

    @pytest.mark.parametrize("query", [{"uploads": "", "prefix": "a b/"}, {"uploadId": "x/+=~ é"}])
    async def test_requests_that_the_library_cannot_make_are_signed_correctly(
        self, bucket: S3Settings, object_store: ObjectStore, query: dict[str, str]
    ) -> None:
        url = await Bucket(bucket).signed_url("DELETE", "a/b c", **query)
        parts = urlsplit(url)
        sent = dict(parse_qsl(parts.query, keep_blank_values=True))
        assert {name: sent[name] for name in query} == query
        assert unquote(parts.path) == f"/{bucket.bucket}/a/b c"
        # a server encodes each parameter anew before it computes the signature; botocore takes the URL as it is
        signed = urlencode({name: sent[name] for name in sent if name != "X-Amz-Signature"}, quote_via=quote, safe="~")
        request = AWSRequest("DELETE", url=f"{object_store.url}{parts.path}?{signed}")
        request.context["timestamp"] = sent["X-Amz-Date"]
        keys = Credentials(bucket.access_key_id, "not-a-secret")
        signer = S3SigV4QueryAuth(keys, "s3", bucket.region)
        wanted = signer.string_to_sign(request, signer.canonical_request(request))
        assert sent["X-Amz-Signature"] == signer.signature(wanted, request)

    async def test_an_outage_ends_by_itself(
        self, object_store: ObjectStore, settings: Settings, tmp_path: Path
    ) -> None:
        """A server of its own is killed and comes back without its memory, so the bucket is made again."""
        del object_store  # only its certificates are needed
        with running_object_store() as store:
            own = store.new_bucket()
            storage = S3Storage(own, tmp_path)
            key = key_of("a")
            await store_object(storage, key, b"before")
            writer = await storage.writer(key_of("cut off"))
            await writer.write(b"x" * PART_BYTES)
            store.kill()
            for action in ("exists", "delete", "read", "write", "list", "sweep"):
                with pytest.raises(OSError, match="S3") as raised:
                    await act(storage, action)
                assert outage_of(raised.value) is not None
                assert "not-a-secret" not in str(raised.value)
            with pytest.raises(OSError, match="S3"):
                await writer.finish()
            await writer.abort()
            changed = settings.model_copy(update={"storage": StorageSettings(backend="s3"), "s3": own})
            await verify_storage(changed, storage)  # only a warning
            store.start()
            store.request("PUT", f"/{own.bucket}")
            await store_object(storage, key, b"after")
            assert await content_of(storage, key) == b"after"


async def act(storage: Storage, action: str) -> None:
    key = key_of("any")
    match action:
        case "exists":
            await storage.exists(key)
        case "delete":
            await storage.delete(key)
        case "read":
            await content_of(storage, key)
        case "write":
            await store_object(storage, key, b"1")
        case "list":
            await keys_after(storage, "")
        case _:
            await storage.remove_abandoned()


async def test_a_secret_is_in_no_text_of_the_storage(object_store: ObjectStore, tmp_path: Path) -> None:
    settings = object_store.new_bucket().model_copy(update={"secret_access_key": SecretStr("top-secret-key")})
    storage = S3Storage(settings, tmp_path)
    assert "top-secret-key" not in repr(storage._store) + str(storage._store.config) + repr(settings)


async def test_a_file_goes_from_upload_to_removal(
    object_store: ObjectStore,
    settings: Settings,
    state: AppState,
    database: Database,
    make_tenant: TenantFactory,
    tmp_path: Path,
) -> None:
    """API and worker share nothing but the bucket and the database: each has a storage and a folder of its own."""
    bucket = object_store.new_bucket()
    of_api, of_worker = S3Storage(bucket, tmp_path / "api"), S3Storage(bucket, tmp_path / "worker")
    jobs = JobQueue(make_broker("redis://127.0.0.1:1/0"))
    worker = FileProcessor(database=database, storage=of_worker, engines=state["engines"], jobs=jobs)
    tenant = await make_tenant()
    async with client_for(settings, {**state, "storage": of_api, "jobs": jobs}) as http:
        tenant = TenantClient(tenant.id, http, tenant.headers)
        project = await tenant.create_project()
        answer = await tenant.upload(project, ("orchard.txt", b"The orchard keeps nine apple trees."), wait_seconds=0)
        file_id = answer.json()["files"][0]["id"]
        [key] = await keys_after(of_api, "")
        assert key.startswith(f"{tenant.id}/{project}/")
        await worker.process(tenant.id, file_id)
        found = (await tenant.ask(project, "How many apple trees does the orchard keep?")).json()
        assert "nine apple trees" in str(found)
        assert list((tmp_path / "worker").iterdir()) == []
        removed = await tenant.delete(
            f"/ingestion/projects/{project}/remove_file", params={"openai_file_id": file_id, "delete_raw": True}
        )
        assert removed.is_success, removed.text
        await worker.delete(tenant.id, file_id)
        assert await keys_after(of_api, "") == []
    jobs.close()


async def test_an_upload_during_an_outage_is_told_and_stores_nothing(
    settings: Settings, state: AppState, make_tenant: TenantFactory, object_store: ObjectStore, tmp_path: Path
) -> None:
    away = object_store.new_bucket().model_copy(update={"endpoint_url": "http://127.0.0.1:1"})
    changed = settings.model_copy(update={"storage": StorageSettings(backend="s3"), "s3": away})
    tenant = await make_tenant()
    async with client_for(changed, {**state, "settings": changed, "storage": S3Storage(away, tmp_path)}) as http:
        tenant = TenantClient(tenant.id, http, tenant.headers)
        project = await tenant.create_project()
        answer = await tenant.upload(project, ("a.txt", b"Some text."), wait_seconds=0)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"] == []
        ready = (await http.get("/health/ready")).json()
        assert (ready["storage"], ready["status"]) == ("down", "degraded")


@pytest.fixture(autouse=True)
async def _no_task_stays() -> AsyncGenerator[None]:
    """Fail where a writer's task goes on after its test."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() - before if "_send_" in repr(task)]
