"""Run moto's S3 server as a process of its own, which tests use over HTTP and may kill."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.error import HTTPError
from uuid import uuid4

from fastapi_ignite.core.connection_sections import S3Settings
from support.command_line import free_port

START_SECONDS = 60


@dataclass
class ObjectStore:
    """A server with one address, also after a restart. What it stores is in its memory."""

    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(  # noqa: S603  our own arguments
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.request("GET", "/moto-api/data.json")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("moto's server did not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request without keys, which the server takes until a test asks it to check them."""
        request = urllib.request.Request(f"{self.url}{path}", data=body, method=method)  # noqa: S310  http
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  as above
            return bytes(answer.read())

    def exists(self, path: str) -> bool:
        try:
            self.request("HEAD", path)
        except HTTPError:
            return False
        return True

    def new_bucket(self, prefix: str = "ignite/files") -> S3Settings:
        """Make a bucket, and return the settings for it."""
        bucket = f"test-{uuid4().hex}"
        self.request("PUT", f"/{bucket}")
        return self.settings(bucket, prefix)

    def settings(self, bucket: str, prefix: str = "ignite/files") -> S3Settings:
        return S3Settings.model_validate(
            {
                "bucket": bucket,
                "endpoint_url": self.url,
                "access_key_id": "test-key",
                "secret_access_key": "not-a-secret",
                "prefix": prefix,
                "allow_http": True,
                "timeout_seconds": 5,
            }
        )


@contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Run the server until the block ends."""
    store = ObjectStore(free_port())
    store.start()
    try:
        yield store
    finally:
        store.kill()
