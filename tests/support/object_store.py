"""Run moto's S3 server as a process of its own, which tests use over HTTP and may kill."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode
from uuid import uuid4

from pydantic import SecretStr

from fastapi_ignite.core.connection_sections import S3Settings
from support.command_line import free_port

START_SECONDS = 60
NO_HEADERS: Mapping[str, str] = {}
PLAIN_TEXT = {"Content-Type": "text/plain"}  # it would read a form as something else


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

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> bytes:
        """Send a request without keys, which the server takes until a test asks it to check them."""
        request = urllib.request.Request(f"{self.url}{path}", data=body, method=method, headers=dict(headers))  # noqa: S310  http
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  as above
            return bytes(answer.read())

    def new_bucket(self, prefix: str = "ignite/files") -> S3Settings:
        """Make a bucket, and return the settings for it."""
        bucket = f"test-{uuid4().hex}"
        self.request("PUT", f"/{bucket}")
        return self.settings(bucket, prefix)

    def new_keys(self, settings: S3Settings) -> S3Settings:
        """Make a user with every right, and return the settings with its keys."""
        name = f"user-{uuid4().hex}"
        self._iam("CreateUser", UserName=name)
        answer = self._iam("CreateAccessKey", UserName=name)
        policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
        self._iam("PutUserPolicy", UserName=name, PolicyName="all", PolicyDocument=policy)
        keys = {
            "access_key_id": _text_of(answer, "AccessKeyId"),
            "secret_access_key": SecretStr(_text_of(answer, "SecretAccessKey")),
        }
        return settings.model_copy(update=keys)

    def _iam(self, action: str, **parameters: str) -> str:
        query = {"Action": action, "Version": "2010-05-08", **parameters}
        headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/iam/aws4_request, x"}
        return self.request("POST", "/", urlencode(query).encode(), headers).decode()

    @contextmanager
    def checking_signatures(self) -> Iterator[None]:
        """Let the server check the keys, signatures and rights of each request while the block runs."""
        self.request("POST", "/moto-api/reset-auth", b"0", PLAIN_TEXT)
        try:
            yield
        finally:
            self.request("POST", "/moto-api/reset-auth", b"inf", PLAIN_TEXT)

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


def _text_of(answer: str, element: str) -> str:
    found = re.search(f"<{element}>(.*?)</{element}>", answer)
    assert found, answer
    return found[1]


@contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Run the server until the block ends."""
    store = ObjectStore(free_port())
    store.start()
    try:
        yield store
    finally:
        store.kill()
