"""A proxy between the command line and the API that records uploads, and can cut them off at a chosen moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BLOCK_BYTES = 16 * 1024
UPLOAD = "/upload_and_attach"


@dataclass(slots=True)
class RecordedUpload:
    """An upload: its key, the length that its head declares, and the status of its answer, or None if it was cut."""

    key: str
    length: int
    status: int | None = None


@dataclass(slots=True)
class RecordingProxy:
    """`hold_body` is the number of the upload whose body stops half-way; when `release` is set, it is cut off there.

    `lose_answer` is the number of the upload whose answer the client does not get.
    """

    url: str
    hold_body: int | None = None
    lose_answer: int | None = None
    uploads: list[RecordedUpload] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, key: str, length: int) -> tuple[RecordedUpload, int]:
        """Return the record of a new upload, and its number."""
        with self._lock:
            self.uploads.append(RecordedUpload(key, length))
            return self.uploads[-1], len(self.uploads)

    def cut(self) -> None:
        """Cut off the upload that is held, and hold no other one."""
        self.hold_body = None
        self.release.set()
        self.held, self.release = threading.Event(), threading.Event()

    @property
    def accepted(self) -> list[str]:
        """Return the keys of the uploads that the server accepted."""
        return [upload.key for upload in self.uploads if upload.status == 200]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(api)
        self.recorded = RecordingProxy(f"http://127.0.0.1:{self.server_port}{self.target.path}")


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _pass_on(self) -> None:
        self.close_connection = True
        recorded = self.server.recorded
        length = int(self.headers.get("Content-Length", "0"))
        upload, number = None, 0
        if UPLOAD in self.path:
            upload, number = recorded.record(self.headers["Idempotency-Key"], length)
        there = HTTPConnection(self.server.target.hostname or "", self.server.target.port, timeout=60)
        with closing(there), suppress(OSError):
            self._pass_head(there)
            if not self._pass_body(there, length, held=number == recorded.hold_body):
                return
            answer = there.getresponse()
            content = answer.read()
            if upload is not None:
                upload.status = answer.status
            if upload is None or number != recorded.lose_answer:
                self._answer(answer, content)

    def _pass_head(self, there: HTTPConnection) -> None:
        there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            there.putheader(name, value)
        there.endheaders()

    def _pass_body(self, there: HTTPConnection, length: int, *, held: bool) -> bool:
        """Tell whether the whole body arrived."""
        left = length
        while left:
            if held and left <= length // 2:
                release = self.server.recorded.release
                self.server.recorded.held.set()
                release.wait()
                return False
            block = self.rfile.read(min(left, BLOCK_BYTES, max(1, length // 4)))
            if not block:
                return False
            there.send(block)
            left -= len(block)
        return True

    def _answer(self, answer: HTTPResponse, content: bytes) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def recording_proxy(api: str) -> Iterator[RecordingProxy]:
    """Run a proxy in front of an API with this base URL. Its own `url` has the same path."""
    server = _Server(api)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.recorded
    finally:
        server.recorded.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
